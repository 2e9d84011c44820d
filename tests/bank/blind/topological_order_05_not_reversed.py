# piece: topological_order
# verdict: wrong
# mistake: the list is returned with the parents first, it is never reversed
# style: small class that holds the state of the walk


class Walk:
    def __init__(self):
        self.order = []
        self.seen = set()

    def run(self, start):
        stack = [(start, iter(start.parents))]
        self.seen.add(id(start))
        while stack:
            node, parents = stack[-1]
            nxt = next((p for p in parents if id(p) not in self.seen), None)
            if nxt is None:
                self.order.append(node)
                stack.pop()
            else:
                self.seen.add(id(nxt))
                stack.append((nxt, iter(nxt.parents)))
        return self.order


def topological_order(result):
    return Walk().run(result)
