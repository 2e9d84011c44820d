"""Three pieces of the engine: the order of the walk, un-broadcasting, and the gradient of a table of rows."""

from collections import Counter
from types import SimpleNamespace

import numpy as np

from minitx.learn import plain
from minitx.learn.piece import Mistake, Piece, slips


def topological_order(result):
    """All nodes that can be reached from `result`, each once, and every node before its parents: a list.

    A node has an attribute `parents`, a tuple of nodes, () for a leaf; the same node may stand in it twice. `result`
    and the leaves are in the list. Graphs may be 5,000 deep.
    """
    return plain.topological_order(result)


class _Node(SimpleNamespace):
    __hash__ = object.__hash__
    __eq__ = object.__eq__


def _node(*parents):
    return _Node(parents=parents)


def _chain(length, step, node=None):
    node = node or _node()
    for _ in range(length):
        node = step(node)
    return node


def _short_and_long_way(turned=False):
    a = _node()
    ways = a, _chain(3, _node, a)
    return _node(*(ways[::-1] if turned else ways))


def _random_graph(seed):
    """Thirty nodes, each made from one to three earlier ones."""
    rng, nodes = np.random.default_rng(seed), [_node()]
    for _ in range(30):
        nodes.append(_node(*(nodes[i] for i in rng.integers(max(0, len(nodes) - 6), len(nodes), rng.integers(1, 4)))))
    return nodes[-1]


def _order_inputs():
    return {
        "b = a + a, c = b + b": (_chain(2, lambda x: _node(x, x)),),
        "a leaf alone": (_node(),),
        "a used at once and after three steps": (_short_and_long_way(),),
        "a used after three steps and at once": (_short_and_long_way(turned=True),),
        "a graph at random": (_random_graph(0),),
        "another graph at random": (_random_graph(1),),
        "six doublings": (_chain(6, lambda x: _node(x, x)),),
        "a sum of ten leaves": (_chain(10, lambda x: _node(x, _node())),),
        "a residual network of five blocks": (_chain(5, lambda x: _node(x, _node(_node(x)))),),
        "a residual network of 40 blocks": (_chain(40, lambda x: _node(x, _node(x))),),
        "5,000 steps deep": (_chain(5000, _node),),
    }


def _judge_order(order, result):
    """What is true of a list of nodes, in words: there are many right orders."""
    expected = plain.topological_order(result)
    if isinstance(order, set | dict) or not all(isinstance(node, _Node) for node in order):
        return "not a list of nodes"
    order = list(order)
    places = {node: place for place, node in enumerate(order)}
    edges = [(node, parent) for node in places for parent in node.parents if parent in places]
    late = sum(places[node] > places[parent] for node, parent in edges)
    return [
        "a node is listed twice" if len(order) > len(places) else "each node once",
        "no node missing" if set(expected) <= set(order) else f"missing {_which(expected, places, result)}",
        "each before its parents" if not late else "all after their parents" if late == len(edges) else "some after",
    ]


def _which(expected, places, result):
    missing = [node for node in expected if node not in places]
    if all(not node.parents for node in missing):
        return "leaves"
    return "the result" if missing == [result] else "some nodes"


def _recursive(result):
    order, seen = [], set()

    def visit(node):
        if node not in seen:
            seen.add(node)
            for parent in node.parents:
                visit(parent)
            order.append(node)

    visit(result)
    return order[::-1]


def _at_first_visit(result):
    order, seen = [result], {result}
    for node in order:
        for parent in node.parents:
            if parent not in seen:
                seen.add(parent)
                order.append(parent)
    return order


def _counted_twice(result):
    """Kahn's algorithm in which a consumer counts twice for a parent that it uses twice, and is taken off once."""
    waits_for, found = Counter(), [result]
    for node in found:
        found += [parent for parent in dict.fromkeys(node.parents) if not waits_for[parent]]
        waits_for.update(node.parents)
    order = [result]
    for node in order:
        waits_for.subtract(set(node.parents))
        order += [parent for parent in dict.fromkeys(node.parents) if not waits_for[parent]]
    return order


def _every_path(result):
    order = [result]
    for node in order:
        order += node.parents if len(order) < 10_000 else ()  # in 40 blocks there are 2^40 paths
    return order


TOPOLOGICAL_ORDER = Piece(
    topological_order,
    _order_inputs,
    slips(
        {
            "it recurses: Python allows about 1,000 nested calls | keep a list as the stack": (_recursive,),
            "a node is listed when it is first seen, though others that were made from it are still to come": (
                _at_first_visit,
            ),
            "a node that is used twice is listed twice": (_every_path,),
            "the list is the wrong way round: parents come first | reverse it": (
                lambda result: plain.topological_order(result)[::-1],
            ),
            "the leaves are left out": (
                lambda result: [node for node in plain.topological_order(result) if node.parents],
            ),
            "the result itself is left out": (lambda result: plain.topological_order(result)[1:],),
            "a parent that one consumer uses twice is never reached": (_counted_twice,),
            "a set was returned, or something else without an order": (lambda result: {result},),
        }
    ),
    result=_judge_order,
)


def unbroadcast(gradient, shape):
    """The gradient of an array of `shape` that broadcasting stretched to `gradient.shape`: array -> array of `shape`.

    What was stretched is summed; the dtype stays.
    """
    return plain.unbroadcast(gradient, shape)


def _unbroadcast_inputs():
    rng = np.random.default_rng(0)
    pairs = {
        "(4, 3) back to (3,)": ((4, 3), (3,)),
        "(4, 3) back to (4, 1)": ((4, 3), (4, 1)),
        "(2, 4, 3) back to (4, 1)": ((2, 4, 3), (4, 1)),
        "(2, 4, 3) back to (1, 4, 3)": ((2, 4, 3), (1, 4, 3)),
        "nothing stretched": ((4, 3), (4, 3)),
        "(4, 3) back to a number, ()": ((4, 3), ()),
        "(2, 3) back to (1, 1)": ((2, 3), (1, 1)),
        "size 1 on both sides": ((1, 3), (1, 3)),
        "(5, 2, 4, 3) back to (4, 1)": ((5, 2, 4, 3), (4, 1)),
        "(5, 2, 4, 3) back to (2, 1, 3)": ((5, 2, 4, 3), (2, 1, 3)),
        "(5, 2, 3) back to (1, 2, 1)": ((5, 2, 3), (1, 2, 1)),
        "(2, 3, 4) back to (4,)": ((2, 3, 4), (4,)),
        "equal sizes, (3, 3) back to (3,)": ((3, 3), (3,)),
        "() back to ()": ((), ()),
        "(2, 3, 1) back to (3, 1)": ((2, 3, 1), (3, 1)),
    }
    return {name: (rng.normal(size=a), b) for name, (a, b) in pairs.items()}


def _reduce(gradient, shape, how=np.sum, leading=True, ones=True, keep=True):
    added = gradient.ndim - len(shape)
    stretched = [axis for axis, n in enumerate(shape) if n == 1] if ones else []
    if leading:
        gradient = how(gradient, axis=tuple(range(added)))
        return how(gradient, axis=tuple(stretched), keepdims=keep) if stretched else gradient
    return how(gradient, axis=tuple(added + axis for axis in stretched), keepdims=True) if stretched else gradient


def _first(gradient, axis, keepdims=False):
    index = tuple((slice(1) if keepdims else 0) if i in axis else slice(None) for i in range(gradient.ndim))
    return gradient[index]


def _greedy(gradient, shape):
    """Sums the first axes until the number of axes fits, then nothing."""
    return _reduce(gradient, shape, ones=False)


def _axis_moves(gradient, shape):
    for axis in range(gradient.ndim - len(shape)):
        gradient = gradient.sum(axis=axis)
    return _reduce(gradient, shape, leading=False)


def _all_keepdims(gradient, shape):
    added = gradient.ndim - len(shape)
    axes = (*range(added), *(added + axis for axis, n in enumerate(shape) if n == 1))
    return gradient.sum(axis=axes, keepdims=True)


def _filled_behind(gradient, shape):
    padded = shape + (1,) * (gradient.ndim - len(shape))
    return gradient.sum(axis=tuple(axis for axis, n in enumerate(padded) if n == 1), keepdims=True).reshape(shape)


UNBROADCAST = Piece(
    unbroadcast,
    _unbroadcast_inputs,
    slips(
        {
            "an axis of size 1 is dropped where it must stay | keepdims=True, or a reshape": (
                lambda gradient, shape: _reduce(gradient, shape, keep=False),
            ),
            "the mean, not the sum | a value that was used four times gets four shares": (
                lambda gradient, shape: _reduce(gradient, shape, how=np.mean),
            ),
            "only axes that were added in front are summed, not stretched ones": (_greedy,),
            "only stretched axes are summed, not those that were added in front": (
                lambda gradient, shape: _reduce(gradient, shape, leading=False),
            ),
            "one slice is taken where the sum over all of them belongs": (
                lambda gradient, shape: _reduce(gradient, shape, how=_first),
            ),
            "the sum of everything": (lambda gradient, shape: gradient.sum(),),
            "only the first axis is summed": (
                lambda gradient, shape: gradient.sum(axis=0),
                lambda gradient, shape: gradient.sum(axis=0, keepdims=True),
            ),
            "the gradient is returned as it is": (lambda gradient, shape: gradient,),
            "the axes in front are summed one by one with a growing number, though the others move up": (_axis_moves,),
            "the axes that were added in front stay, with size 1": (_all_keepdims,),
            "reshaped or cut to the shape, without a sum": (
                lambda gradient, shape: np.resize(gradient, shape),
                lambda gradient, shape: gradient.reshape(shape),
            ),
            "sizes are compared from the front, though broadcasting aligns shapes at the end": (
                _filled_behind,
                lambda gradient, shape: gradient.sum(
                    axis=tuple(i for i, n in enumerate(gradient.shape) if i >= len(shape) or shape[i] != n)
                ),
            ),
        }
    ),
)


def embedding_gradient(dy, ids, num_rows):
    """The gradient of a table (V, D) of which the rows `ids` were looked up: array (V, D), with the dtype of dy.

    dy (*ids.shape, D); ids are integers of any shape; V is num_rows. A row that was used twice gets two shares.
    """
    return plain.embedding_gradient(dy, ids, num_rows)


def _embedding_inputs():
    rng = np.random.default_rng(0)
    ids = {
        "ids of shape (2, 3), one of them twice": (np.array([[1, 4, 2], [4, 0, 5]]), 7),
        "ids (4,), all the same": (np.array([2, 2, 2, 2]), 3),
        "one id": (np.array([1]), 3),
        "ids of shape (2, 2, 3), many of them repeated": (rng.integers(0, 5, (2, 2, 3)), 6),
        "T = 1": (np.array([[1], [0]]), 3),
        "no id": (np.zeros((0,), np.int64), 3),
        "every id once, backwards": (np.array([3, 2, 1, 0]), 4),
        "ids of shape ()": (np.array(2), 4),
        "a table of 300 rows": (np.array([290, 3, 290]), 300),
    }
    inputs = {name: (rng.normal(size=(*i.shape, 4)), i, rows) for name, (i, rows) in ids.items()}
    return inputs | {"D = 1": (rng.normal(size=(3, 1)), np.array([1, 0, 1]), 2)}


def _one_share(dy, ids, num_rows):
    dw = np.zeros((num_rows, dy.shape[-1]), dy.dtype)
    dw[ids] += dy
    return dw


def _largest(dy, ids, num_rows):
    dw = np.zeros((num_rows, dy.shape[-1]))
    for row in np.unique(ids):
        dw[row] = dy[ids == row].max(axis=0)
    return dw


def _mean(dy, ids, num_rows):
    return (
        plain.embedding_gradient(dy, ids, num_rows)
        / np.maximum(np.bincount(ids.ravel(), minlength=num_rows), 1)[:, None]
    )


def _repeated(yours, right, dy, ids, num_rows):
    counts = np.bincount(ids.ravel(), minlength=num_rows)
    return f"row {counts.argmax()} was used {counts.max()} times, and one share counted"


EMBEDDING_GRADIENT = Piece(
    embedding_gradient,
    _embedding_inputs,
    (
        Mistake("dw[ids] += dy, or dw[ids] = dy, keeps one share of a repeated row", _one_share, _repeated),
        *slips(
            {
                "the shares of a repeated row are averaged, not summed": (_mean,),
                "the table has as many rows as the largest id asks for, not num_rows": (
                    lambda dy, ids, num_rows: plain.embedding_gradient(dy, ids, ids.max(initial=-1) + 1),
                ),
                "the product with the one-hot matrix is not transposed": (
                    lambda dy, ids, num_rows: plain.embedding_gradient(dy, ids, num_rows).T,
                ),
                "ids of two axes are not flattened": (lambda dy, ids, num_rows: np.eye(num_rows)[ids].T @ dy,),
                "the gradient comes out per token, not per row of the table": (lambda dy, ids, num_rows: dy,),
                "dy is flattened to (D, tokens), which mixes the numbers of different tokens": (
                    lambda dy, ids, num_rows: plain.embedding_gradient(
                        dy.reshape(dy.shape[-1], -1).T.reshape(dy.shape), ids, num_rows
                    ),
                ),
                "row 0 is taken for padding and gets no gradient": (
                    lambda dy, ids, num_rows: plain.embedding_gradient(dy * (ids != 0)[..., None], ids, num_rows),
                ),
                "the largest share of a repeated row is kept, not the sum": (_largest,),
                "only the first sample of the batch counts": (
                    lambda dy, ids, num_rows: plain.embedding_gradient(dy[:1], ids[:1], num_rows),
                ),
                "shares are subtracted: a sign": (
                    lambda dy, ids, num_rows: -plain.embedding_gradient(dy, ids, num_rows),
                ),
                "divided by the number of tokens": (
                    lambda dy, ids, num_rows: plain.embedding_gradient(dy, ids, num_rows) / max(1, ids.size),
                ),
            }
        ),
    ),
)

PIECES = [TOPOLOGICAL_ORDER, UNBROADCAST, EMBEDDING_GRADIENT]
