# piece: topological_order
# verdict: right
# style: explicit stack, every node pushed a second time to be finished after its parents


def topological_order(result):
    order, seen = [], set()
    stack = [(result, False)]
    while stack:
        node, parents_done = stack.pop()
        if parents_done:
            order.append(node)
        elif id(node) not in seen:
            seen.add(id(node))
            stack.append((node, True))
            for parent in node.parents:
                stack.append((parent, False))
    return order[::-1]
