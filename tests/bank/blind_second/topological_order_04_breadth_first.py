# piece: topological_order
# verdict: wrong
# mistake: plain breadth-first order by shortest distance, so a parent reached by a skip connection comes too early
# style: queue and levels
from collections import deque


def topological_order(result):
    level = {id(result): 0}
    nodes = {id(result): result}
    queue = deque([result])
    while queue:
        node = queue.popleft()
        for parent in node.parents:
            if id(parent) not in level:
                level[id(parent)] = level[id(node)] + 1
                nodes[id(parent)] = parent
                queue.append(parent)
    return [nodes[key] for key in sorted(nodes, key=level.get)]
