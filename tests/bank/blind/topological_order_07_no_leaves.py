# piece: topological_order
# verdict: wrong
# mistake: leaves are left out of the list
# style: two visits on an explicit stack


def topological_order(result):
    order = []
    opened = set()
    stack = [(result, False)]
    while stack:
        current, finished = stack.pop()
        if finished:
            if current.parents:
                order.append(current)
            continue
        if id(current) in opened:
            continue
        opened.add(id(current))
        stack.append((current, True))
        stack += [(parent, False) for parent in current.parents]
    order.reverse()
    return order
