"""01. Solutions: derivatives walk backwards, once."""

import numpy as np

from minitx import Tensor
from minitx.learn.piece import Mistake, Piece


def topological_order(result):
    """All nodes that can be reached from `result`, as a list in which every node stands before its parents.

    A node has an attribute `parents`, a tuple of nodes, which is () for a leaf. One node may occur in it twice. The
    list holds `result` itself, the leaves too, and each node once. Graphs may be 5,000 deep.
    """
    # Idea: write a node down after all its parents have been written down, and turn the list round at the end.
    # Line: stack.append((node, True)), then the parents with False: a node comes up again when its parents are done.
    finished, seen, stack = [], set(), [(result, False)]
    while stack:
        node, parents_done = stack.pop()
        if parents_done:
            finished.append(node)
        elif id(node) not in seen:
            seen.add(id(node))
            stack.append((node, True))
            stack.extend((parent, False) for parent in node.parents)
    return finished[::-1]


def softplus(x):
    """y = log(1 + exp(x)), element by element: Tensor of any shape -> Tensor of that shape.

    An operation of its own, made by `Tensor.from_op`. Elements may be as large as -1000 or 1000: there, y is 0 or x.
    """
    # Idea: the derivative of log(1 + exp(x)) is the sigmoid, 1 / (1 + exp(-x)). exp(1000) is too large for a float:
    #     for x > 0, write the same as x + log(1 + exp(-x)).
    # Line: the backward function returns (dy * sigmoid,), and y is np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))).
    e = np.exp(-np.abs(x.data))  # at most 1
    sigmoid = np.where(x.data > 0, 1, e) / (1 + e)
    return Tensor.from_op(np.maximum(x.data, 0) + np.log1p(e), (x,), lambda dy: (dy * sigmoid,))


def minimum(x, y):
    """The smaller of x and y, element by element: two Tensors whose shapes broadcast -> a Tensor.

    An operation of its own, made by `Tensor.from_op`. The smaller element gets all of dy; two equal ones get half each.
    """
    # Idea: what was not chosen can move a little without changing the result, so its share is 0.
    # Line: the share of x is 1 where x < y, 1/2 where they are equal, else 0; y gets what is left of dy.
    share = ((x.data < y.data) + 0.5 * (x.data == y.data)).astype(x.dtype)
    return Tensor.from_op(np.minimum(x.data, y.data), (x, y), lambda dy: (dy * share, dy * (1 - share)))


# -- inputs, and the commonest mistakes ----------------------------------------------------------------------------


def _tensor(*values):
    return Tensor(np.array(values), requires_grad=True)


def _for_softplus():
    return {
        "an ordinary input": (_tensor([-2.0, -0.5, 0.3], [0.9, 1.7, 3.0]),),
        "-1000, 0 and 1000": (_tensor(-1000.0, 0.0, 1000.0),),
    }


def _sigmoid(x):
    return 1 / (1 + np.exp(-x.data))


def _overflows(x):
    return Tensor.from_op(np.log(1 + np.exp(x.data)), (x,), lambda dy: (dy * _sigmoid(x),))


def _other_sign(x):
    return Tensor.from_op(np.logaddexp(0, -x.data), (x,), lambda dy: (-dy * (1 - _sigmoid(x)),))


def _forgets_dy(x):
    return Tensor.from_op(np.logaddexp(0, x.data), (x,), lambda dy: (_sigmoid(x),))


def _derivative_of_the_log_alone(x):
    return Tensor.from_op(np.logaddexp(0, x.data), (x,), lambda dy: (dy / (1 + np.exp(x.data)),))


def _inf_by_inf(x):
    e = np.exp(x.data)
    return Tensor.from_op(np.logaddexp(0, x.data), (x,), lambda dy: (dy * e / (1 + e),))


def _for_minimum():
    return {
        "an ordinary input": (_tensor([-2.0, 0.5, 0.3], [0.9, 1.7, -3.0]), _tensor([1.0, -0.5, 0.8], [0.1, 2.2, -4.0])),
        "equal elements": (_tensor(1.0, 2.0, 3.0), _tensor(1.0, 5.0, 3.0)),
        "a column and a row": (_tensor([0.5], [1.5]), _tensor(1.0, 2.0, 0.2)),
    }


def _minimum_by(share_of_x, share_of_y):
    def wrong(x, y):
        a, b = x.data, y.data
        return Tensor.from_op(np.minimum(a, b), (x, y), lambda dy: (dy * share_of_x(a, b), dy * share_of_y(a, b)))

    return wrong


EXERCISES = [
    "topological_order",
    Piece(
        right=softplus,
        examples=_for_softplus,
        mistakes=(
            Mistake(
                "exp(x) is computed for a large x",
                _overflows,
                "exp(1000) is inf; for x > 0, x + log(1 + exp(-x)) is the same and cannot overflow",
            ),
            Mistake("the sign of x is wrong: log(1 + exp(-x))", _other_sign, "it should grow as x grows"),
            Mistake("backward does not use dy", _forgets_dy, "the derivative does not double when dy doubles"),
            Mistake(
                "the derivative is that of x turned round, 1 / (1 + exp(x))",
                _derivative_of_the_log_alone,
                "for a large x the result is x, and the derivative should come close to 1",
            ),
            Mistake(
                "the derivative is computed as exp(x) / (1 + exp(x))",
                _inf_by_inf,
                "inf / inf at 1000; 1 / (1 + exp(-x)) is the same number",
            ),
        ),
    ),
    Piece(
        right=minimum,
        examples=_for_minimum,
        mistakes=(
            Mistake(
                "both x and y get all of dy",
                _minimum_by(lambda a, b: np.ones_like(a + b), lambda a, b: np.ones_like(a + b)),
                "the one that was not chosen should get 0",
            ),
            Mistake(
                "dy goes to the larger of the two",
                _minimum_by(lambda a, b: a > b, lambda a, b: a < b),
                "the one that was chosen should get it",
            ),
            Mistake(
                "where they are equal, x gets all of dy",
                _minimum_by(lambda a, b: a <= b, lambda a, b: a > b),
                "minimum(x, y) and minimum(y, x) should treat them alike",
            ),
            Mistake(
                "where they are equal, y gets all of dy",
                _minimum_by(lambda a, b: a < b, lambda a, b: a >= b),
                "minimum(x, y) and minimum(y, x) should treat them alike",
            ),
            Mistake(
                "where they are equal, both get all of dy",
                _minimum_by(lambda a, b: a <= b, lambda a, b: a >= b),
                "two shares should add up to dy",
            ),
        ),
    ),
]
