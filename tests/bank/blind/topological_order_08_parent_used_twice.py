# piece: topological_order
# verdict: wrong
# mistake: a consumer that uses a parent twice is counted twice but taken off once, so that parent is never reached
# style: Kahn's algorithm with plain dicts


def topological_order(result):
    nodes = {id(result): result}
    waiting = {id(result): 0}
    stack = [result]
    while stack:
        node = stack.pop()
        for parent in node.parents:
            waiting[id(parent)] = waiting.get(id(parent), 0) + 1
            if id(parent) not in nodes:
                nodes[id(parent)] = parent
                stack.append(parent)

    order = []
    ready = [result]
    while ready:
        node = ready.pop()
        order.append(node)
        for key in {id(parent) for parent in node.parents}:
            waiting[key] -= 1
            if waiting[key] == 0:
                ready.append(nodes[key])
    return order
