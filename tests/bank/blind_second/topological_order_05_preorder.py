# piece: topological_order
# verdict: wrong
# mistake: a node is listed when it is first met (pre-order), which may be before another of its consumers
# style: depth-first search with a list as the stack


def topological_order(result):
    seen = set()
    order = []
    stack = [result]
    while stack:
        node = stack.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        order.append(node)
        stack.extend(node.parents)
    return order
