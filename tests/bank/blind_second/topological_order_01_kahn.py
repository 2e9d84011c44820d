# piece: topological_order
# verdict: right
# style: Kahn's algorithm, counting the consumers of every node first
from collections import Counter, deque


def topological_order(result):
    nodes = {id(result): result}
    waiting = Counter()
    todo = deque([result])
    while todo:
        node = todo.popleft()
        for parent in node.parents:
            waiting[id(parent)] += 1
            if id(parent) not in nodes:
                nodes[id(parent)] = parent
                todo.append(parent)

    order = [result]
    for node in order:  # the list grows while we walk along it
        for parent in node.parents:
            waiting[id(parent)] -= 1
            if waiting[id(parent)] == 0:
                order.append(parent)
    return order
