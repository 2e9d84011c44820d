# piece: topological_order
# verdict: wrong
# mistake: a node counts as seen as soon as it is pushed, so a node can be finished before a parent that still waits
# style: explicit stack with a seen set


def topological_order(result):
    seen = {id(result)}
    order = []
    stack = [(result, False)]
    while stack:
        node, done = stack.pop()
        if done:
            order.append(node)
            continue
        stack.append((node, True))
        for parent in node.parents:
            if id(parent) not in seen:
                seen.add(id(parent))
                stack.append((parent, False))
    return order[::-1]
