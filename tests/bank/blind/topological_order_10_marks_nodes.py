# piece: topological_order
# verdict: wrong
# mistake: the nodes are marked with an attribute that stays, so the graph is changed and a second call finds nothing
# style: attributes on the nodes instead of a set


def topological_order(result):
    order = []
    stack = [(result, False)]
    while stack:
        node, ready = stack.pop()
        if ready:
            order.insert(0, node)
        elif not getattr(node, "visited", False):
            node.visited = True
            stack.append((node, True))
            stack.extend((parent, False) for parent in node.parents)
    return order
