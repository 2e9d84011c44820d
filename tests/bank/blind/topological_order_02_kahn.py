# piece: topological_order
# verdict: right
# style: Kahn's algorithm with a Counter of consumers and a deque, type hints

from collections import Counter, deque
from typing import Any


def topological_order(result: Any) -> list[Any]:
    consumers: Counter[int] = Counter()
    found = {id(result): result}
    todo = deque([result])
    while todo:
        for parent in todo.popleft().parents:
            consumers[id(parent)] += 1
            if id(parent) not in found:
                found[id(parent)] = parent
                todo.append(parent)

    ready, order = deque([result]), []
    while ready:
        order.append(ready.popleft())
        for parent in order[-1].parents:
            consumers[id(parent)] -= 1
            if consumers[id(parent)] == 0:
                ready.append(parent)
    return order
