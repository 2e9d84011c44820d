# piece: topological_order
# verdict: right
# style: a nested generator that walks with a stack of iterators instead of recursion


def topological_order(result):
    seen = {id(result)}

    def finished():
        trail = [(result, iter(result.parents))]
        while trail:
            node, rest = trail[-1]
            for parent in rest:
                if id(parent) not in seen:
                    seen.add(id(parent))
                    trail.append((parent, iter(parent.parents)))
                    break
            else:
                trail.pop()
                yield node

    order = list(finished())
    order.reverse()
    return order
