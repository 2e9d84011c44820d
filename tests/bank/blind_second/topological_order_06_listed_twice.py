# piece: topological_order
# verdict: wrong
# mistake: visited is looked up when a parent is pushed but not again when it is popped, so x * x lists x twice
# style: stack of (node, finished) pairs in a small class


class Walk:
    def __init__(self, result):
        self.visited = set()
        self.order = []
        self.stack = [(result, False)]

    def skip(self, node):
        return id(node) in self.visited

    def run(self):
        while self.stack:
            node, finished = self.stack.pop()
            if finished:
                self.order.append(node)
                continue
            self.visited.add(id(node))
            self.stack.append((node, True))
            for parent in node.parents:
                if not self.skip(parent):
                    self.stack.append((parent, False))
        return list(reversed(self.order))


def topological_order(result):
    return Walk(result).run()
