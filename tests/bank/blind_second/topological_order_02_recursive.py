# piece: topological_order
# verdict: wrong
# mistake: the search is recursive, so a graph that is thousands of nodes deep ends in a RecursionError
# style: nested recursive function as in micrograd


def topological_order(result):
    order = []
    visited = set()

    def build(node):
        if id(node) in visited:
            return
        visited.add(id(node))
        for parent in node.parents:
            build(parent)
        order.append(node)

    build(result)
    return order[::-1]
