# piece: topological_order
# verdict: wrong
# mistake: breadth-first order by first visit, so a parent reached by a short way stands before a later consumer
# style: deque, dict as an ordered set

from collections import deque


def topological_order(result):
    visited = {id(result): result}
    queue = deque([result])
    while queue:
        node = queue.popleft()
        for parent in node.parents:
            if id(parent) not in visited:
                visited[id(parent)] = parent
                queue.append(parent)
    return list(visited.values())
