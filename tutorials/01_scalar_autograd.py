"""01. What is backpropagation? A scalar autograd engine from nothing.

You learn how a program finds the derivative of everything it computed, in one walk backwards: why the order of that
walk matters, why contributions are added, why the walk must not recurse, and what changes when numbers become arrays.

Open beside it:  minitx/autograd/engine.py, which is the same engine for arrays
Run it:          python tutorials/01_scalar_autograd.py      (about 1 second)
Picture:         runs/tutorials/01_scalar_autograd.png, below the directory you run it from
Before:          Python and the derivatives of school: sum, product, power, chain rule
"""

# %%
import math
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from minitx import Tensor

PICTURE = Path("runs/tutorials/01_scalar_autograd.png")

# %% [markdown]
# ## 1. A number that remembers how it was made
#
# A `Value` holds a number, the values it was computed from (its parents), and a function that turns the derivative of
# the final result by *this* number, `dy`, into one derivative for each parent. That function is the chain rule for one
# operation, and nothing else in the program knows any calculus. In `x * w` the result changes by `w` for each unit of
# `x`, so `x` receives `dy * w`.


# %%
class Value:
    def __init__(self, data, parents=(), backward_fn=None):
        self.data = data
        self.grad = 0.0  # d(result) / d(this), wanted for leaves: the values that nothing was computed from
        self.parents = parents
        self.backward_fn = backward_fn

    def __add__(self, other):  # d(x + w) = dx + dw
        other = as_value(other)
        return Value(self.data + other.data, (self, other), lambda dy: (dy, dy))

    def __mul__(self, other):  # d(x w) = w dx + x dw
        other = as_value(other)
        return Value(self.data * other.data, (self, other), lambda dy: (dy * other.data, dy * self.data))

    def __pow__(self, n):  # d(x^n) = n x^(n-1) dx
        return Value(self.data**n, (self,), lambda dy: (dy * n * self.data ** (n - 1),))

    def tanh(self):  # d tanh(x) = (1 - tanh(x)^2) dx
        y = math.tanh(self.data)
        return Value(y, (self,), lambda dy: (dy * (1 - y * y),))

    def __truediv__(self, other):  # four operations are enough: the others are made of them
        return self * as_value(other) ** -1

    def __sub__(self, other):
        return self + as_value(other) * -1

    __radd__, __rmul__ = __add__, __mul__  # for 2 + x and 2 * x, where Python asks the right-hand side


def as_value(x):
    return x if isinstance(x, Value) else Value(x)


# %% [markdown]
# ## 2. Why not simply recurse?
#
# The obvious walk: give the result the derivative 1; at each value, send each parent its share, and go on to that
# parent at once. It fails as soon as a value that was computed is used twice, and this is the shortest example:


# %%
def backward_at_once(node):
    for parent, dx in zip(node.parents, node.backward_fn(node.grad) if node.parents else (), strict=True):
        parent.grad += dx
        backward_at_once(parent)


a = Value(1.0)
b = a + a
c = b + b
c.grad = 1.0

# %% [markdown]
# **Predict:** c is 4 a, so dc/da is 4. What will `backward_at_once(c)` leave in `a.grad`?

# %%
backward_at_once(c)
print(f"c = 4 a. Recursing at once: dc/da = {a.grad:g}")
assert a.grad == 6, "the first visit of b sent half of its derivative, the second visit sent all of it: 2 + 4"

# %% [markdown]
# `c` has `b` as both its parents. After the first, `b.grad` is 1, and 2 * 1 goes to `a`. After the second, `b.grad` is
# 2, and 2 * 2 goes to `a`, although half of it had been there before.
#
# One can repair this by passing on only what has just arrived. Then every *path* from the result to a leaf is walked
# separately. The answer is right.
#
# **Predict:** after 16 doublings, `x = x + x`, how many times is a value visited?


# %%
def backward_along_paths(node, dy=1.0):
    """Returns the number of visits."""
    node.grad += dy
    shares = node.backward_fn(dy) if node.parents else ()
    return 1 + sum(backward_along_paths(parent, dx) for parent, dx in zip(node.parents, shares, strict=True))


x = leaf = Value(1.0)
for _ in range(16):
    x = x + x
visits = backward_along_paths(x)
print(f"16 doublings. Along every path: derivative {leaf.grad:g}, {visits:,} visits of 17 values")
assert leaf.grad == 2**16, "each doubling doubles the derivative"
assert visits == 2**17 - 1, "1 + 2 + 4 + ... + 2^16: each doubling doubles the number of paths, too"

# %% [markdown]
# ## 3. The right order
#
# A value may pass its derivative on only when everything that was computed from it has sent its share. So put the
# values in an order in which each stands after everything that was computed from it (a *topological order*) and walk
# along it once: every value is visited once, with a derivative that is complete.
#
# `order` finds it by depth-first search: a value is written down after all its parents, and the list is reversed. The
# stack is a Python list, for a reason that section 5 shows.


# %%
def order(result):
    finished, seen, stack = [], set(), [(result, False)]
    while stack:
        node, parents_done = stack.pop()
        if parents_done:
            finished.append(node)
        elif node not in seen:
            seen.add(node)
            stack.append((node, True))
            stack.extend((parent, False) for parent in node.parents)
    return finished[::-1]


def backward(result):
    gradients = {result: 1.0}  # of this walk only; what lies between result and leaves is forgotten afterwards
    for node in order(result):
        dy = gradients.pop(node)
        if not node.parents:
            node.grad += dy
            continue
        for parent, dx in zip(node.parents, node.backward_fn(dy), strict=True):
            gradients[parent] = gradients.get(parent, 0.0) + dx


a = Value(1.0)
b = a + a
c = b + b
names = {a: "a", b: "b", c: "c"}
backward(c)
print(f"c = 4 a. In the order {' '.join(names[node] for node in order(c))}: dc/da = {a.grad:g}")
assert a.grad == 4, "b was complete before it was used"

# %% [markdown]
# ## 4. Is it right? Two witnesses
#
# The engine is finished. A derivative from the definition, (f(x + h) - f(x - h)) / 2h, needs no engine, and minitx's
# `Tensor` is another engine; all three should agree on an expression in which `p` and `q` occur several times.


# %%
def f(p, q):
    return (p * q + q**3 - 2 * p).tanh() * p + p / q


def derivative_by_definition(function, x, h=1e-5):
    return (function(x + h) - function(x - h)) / (2 * h)


P, Q = 0.7, 1.2
p, q = Value(P), Value(Q)
backward(f(p, q))
tp, tq = Tensor(P, requires_grad=True, dtype=np.float64), Tensor(Q, requires_grad=True, dtype=np.float64)
f(tp, tq).backward()
slope_p = derivative_by_definition(lambda x: f(Value(x), Value(Q)).data, P)
slope_q = derivative_by_definition(lambda x: f(Value(P), Value(x)).data, Q)

print("\n                    df/dp           df/dq")
print(f"Value      {p.grad:14.10f}  {q.grad:14.10f}")
print(f"minitx     {tp.grad:14.10f}  {tq.grad:14.10f}")
print(f"definition {slope_p:14.10f}  {slope_q:14.10f}")
assert np.allclose((p.grad, q.grad), (tp.grad, tq.grad), rtol=1e-14), "the two engines do the same arithmetic"
assert np.allclose((p.grad, q.grad), (slope_p, slope_q), rtol=1e-8), "and the definition agrees as far as it can"

# %% [markdown]
# ## 5. Derivatives add up, and the walk may be long
#
# Two kinds of adding have been at work. Within one walk, a value that is used several times receives several shares.
# Over several walks, leaves keep adding: `backward` never sets `.grad` back to 0. minitx and torch do the same, so that
# a large batch can be worked through in parts; the price is that one must clear the gradients before each step.
#
# **Predict:** y = x * x at x = 3 has the derivative 6. What is in `x.grad` after a second walk through the same y?

# %%
x = Value(3.0)
y = x * x
backward(y)
once = x.grad
backward(y)
print(f"\ny = x * x at 3: dy/dx = {once:g}; after a second walk {x.grad:g}")
assert (once, x.grad) == (6, 12), "3 from either side of the product, and everything once more"


# %% [markdown]
# Now a sum of 20,000 terms, built as training code builds it, `total = total + x`. `order_recursive` is the textbook's
# depth-first search, shorter than ours.
#
# **Predict:** which of the two orders finds the derivative, 20,000?


# %%
def order_recursive(result):
    finished, seen = [], set()

    def visit(node):
        if node not in seen:
            seen.add(node)
            for parent in node.parents:
                visit(parent)
            finished.append(node)

    visit(result)
    return finished[::-1]


x, total = Value(1.0), Value(0.0)
for _ in range(20_000):
    total = total + x
try:
    order_recursive(total)
    outcome = "finished"
except RecursionError as error:
    outcome = type(error).__name__
backward(total)
print(f"20,000 additions in a chain: recursive order: {outcome}; with a list as stack: dy/dx = {x.grad:g}")
assert outcome == "RecursionError", "Python allows far fewer nested calls than that"
assert x.grad == 20_000, "a list has no such limit"

# %% [markdown]
# ## 6. From numbers to arrays
#
# One `Value` per number is slow. A `Tensor` is one node for a whole array, and its operations have the same derivatives
# element by element. One thing is new: *broadcasting*. In `x * w` with x of shape (4, 3) and w of shape (3,), NumPy
# uses each element of w four times, once for each row. A value that is used four times receives four shares, and they
# are added.
#
# **Predict:** `dy * x` has the shape (4, 3). What shape has `w.grad`, and along which axis was it summed?

# %%
rng = np.random.default_rng(0)
x_data, w_data = rng.normal(size=(4, 3)), rng.normal(size=3)

w_values = [Value(float(w)) for w in w_data]
backward(sum((float(x_data[i, j]) * w_values[j]).tanh() for i in range(4) for j in range(3)))
with_values = np.array([w.grad for w in w_values])

w = Tensor(w_data, requires_grad=True)
(Tensor(x_data) * w).tanh().sum().backward()
print(f"\nx (4, 3) * w (3,): w.grad has the shape {w.grad.shape}")
print(f"  12 products of Values  {with_values}")
print(f"  one product of Tensors {w.grad}")
by_hand = (1 - np.tanh(x_data * w_data) ** 2) * x_data  # dy * x, of shape (4, 3)
print(f"  dy * x summed by rows  {by_hand.sum(axis=0)}")
assert w.grad.shape == (3,), "a gradient has the shape of what it belongs to"
assert np.allclose(by_hand.sum(axis=0), w.grad, rtol=1e-12), "summed along the axis that broadcasting stretched, 0"
assert np.allclose(with_values, w.grad, rtol=1e-12), "which is the adding of section 5"

# %% [markdown]
# `unbroadcast` in `minitx/autograd/engine.py` is that sum, in one place for all operations. Leaving it out gives an
# error if you are lucky, and a gradient that is wrong by a factor if you are not.
#
# ## 7. Why not always use the definition?
#
# It costs two evaluations of the whole model for each of its weights, where the engine walks back once for all of them.
# It is also less exact than it looks. The picture shows its error against the engine's derivative as h shrinks.
#
# **Predict:** does a smaller h always give a smaller error?


# %%
def f_of_p(x):
    return f(Value(x), Value(Q)).data


steps = 10.0 ** np.arange(-1, -13.5, -0.5)
central = [abs(derivative_by_definition(f_of_p, P, h) - p.grad) for h in steps]
one_sided = [abs((f_of_p(P + h) - f_of_p(P)) / h - p.grad) for h in steps]
figure = Figure(figsize=(7, 4.2), layout="constrained")
axes = figure.add_subplot()
for label, values in (("(f(x + h) - f(x - h)) / 2h", central), ("(f(x + h) - f(x)) / h", one_sided)):
    best = steps[np.argmin(values)]
    axes.loglog(steps, values, marker="o", markersize=3, label=label)
    print(f"{label:27} is best at h = {best:.0e}, with an error of {min(values):.0e}")
axes.set_xlabel("h, shrinking from left to right")
axes.set_ylabel("error of the derivative")
axes.set_title("A smaller h helps, until rounding takes over", fontsize=11)
axes.invert_xaxis()
axes.grid(alpha=0.25)
axes.legend()
PICTURE.parent.mkdir(parents=True, exist_ok=True)
figure.savefig(PICTURE, dpi=120)
print(f"Picture: {PICTURE}")

assert min(central) < min(one_sided) / 10, "the symmetric difference is the better of the two"
assert central[-1] > 100 * min(central), "the smallest h is far from the best: f(x + h) - f(x - h) has lost its digits"

# %% [markdown]
# So the definition is a witness, not a method: `minitx.learn.gradcheck` uses it to test each operation once, and
# training uses the engine.
#
# ## Exercise
#
# Write `softplus`, y = ln(1 + e^x), as an operation of its own. Its derivative is 1 / (1 + e^-x). Return a `Value`, as
# `tanh` does; `check` says what is wrong with it. A solution is in `tests/test_tutorials.py`.


# %%
def exercise(x):
    """Softplus of a Value."""
    # your code here


def check(softplus):
    if softplus(Value(0.5)) is None:
        print("\nExercise: not done yet")
        return False
    for at in (-2.0, 0.0, 0.5, 3.0):
        x = Value(at)
        y = softplus(x)
        assert math.isclose(y.data, math.log(1 + math.exp(at))), f"softplus({at}) came out as {y.data}"
        backward(3 * y + x * y)

        def expected(x):
            return (3 + x) * math.log(1 + math.exp(x))

        slope = derivative_by_definition(expected, at)
        assert math.isclose(x.grad, slope, rel_tol=1e-6), (
            f"d((3 + x) softplus(x)) at {at} is {slope:.6f}, and the engine found {x.grad:.6f}: does backward use dy?"
        )
    print("\nExercise: right")
    return True


check(exercise)
