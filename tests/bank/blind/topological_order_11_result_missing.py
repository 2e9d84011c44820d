# piece: topological_order
# verdict: wrong
# mistake: the result itself is not in the list, only what it was made from
# style: generator with iterators on a list, then slicing


def _postorder(start):
    seen = {id(start)}
    path = [(start, iter(start.parents))]
    while path:
        for p in path[-1][1]:
            if id(p) in seen:
                continue
            seen.add(id(p))
            path.append((p, iter(p.parents)))
            break
        else:
            yield path.pop()[0]


def topological_order(result):
    nodes = list(_postorder(result))
    return nodes[-2::-1]
