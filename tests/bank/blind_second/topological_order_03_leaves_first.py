# piece: topological_order
# verdict: wrong
# mistake: the post-order is returned as it is, parents before their consumers, because the reversal was forgotten
# style: explicit stack of (node, iterator over its parents)


def topological_order(result):
    order, seen = [], {id(result)}
    stack = [(result, iter(result.parents))]
    while stack:
        node, parents = stack[-1]
        for parent in parents:
            if id(parent) not in seen:
                seen.add(id(parent))
                stack.append((parent, iter(parent.parents)))
                break
        else:
            stack.pop()
            order.append(node)
    return order
