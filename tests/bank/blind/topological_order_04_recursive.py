# piece: topological_order
# verdict: wrong
# mistake: the walk is recursive and runs into Python's recursion limit on a deep graph
# style: nested build function as in small autograd courses


def topological_order(result):
    topo = []
    visited = set()

    def build(v):
        if id(v) in visited:
            return
        visited.add(id(v))
        for p in v.parents:
            build(p)
        topo.append(v)

    build(result)
    return list(reversed(topo))
