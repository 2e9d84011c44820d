# %% [markdown]
# # 01. Derivatives walk backwards, once
#
# *30 minutes. Reads: `minitx/autograd/engine.py`. Needs: the derivatives of school: sum, product, chain.*
#
# A program can say how its result depends on everything it started from, in one walk back through its own steps. You
# build that walk, see it fail, mend it, and give an operation of your own a derivative.

# %%
from pathlib import Path

from matplotlib.figure import Figure

from minitx import Tensor

PICTURE = Path("runs/tutorials/01_backward.png")

# %% [markdown]
# ## A number that remembers how it was made
#
# A `Value` holds a number, its *parents* (the values it was computed from) and a function. That function takes `dy`,
# the derivative of the final result by *this* number, and returns a share for each parent. In `x * w` the result
# changes by `w` for each unit of `x`, so `x` receives `dy * w`.


# %%
class Value:
    def __init__(self, data, parents=(), backward_fn=lambda dy: ()):
        self.data, self.parents, self.backward_fn = data, parents, backward_fn
        self.grad = 0.0  # d(result) / d(this)

    def __add__(self, other):  # d(x + w) = dx + dw
        return Value(self.data + other.data, (self, other), lambda dy: (dy, dy))

    def __mul__(self, other):  # d(x w) = w dx + x dw
        return Value(self.data * other.data, (self, other), lambda dy: (dy * other.data, dy * self.data))


# %% [markdown]
# ## Why not simply recurse?
#
# The obvious walk: give the result the derivative 1; at each value, send each parent its share, and go on to that
# parent at once. Try it on `b = a + a; c = b + b`.
#
# **Predict** `a.grad`: c is 4 a, so dc/da is 4. What will the obvious walk leave in `a.grad`?


# %%
def backward_at_once(node):
    for parent, dx in zip(node.parents, node.backward_fn(node.grad), strict=True):
        parent.grad += dx
        backward_at_once(parent)


a = Value(1.0)
b = a + a
c = b + b
c.grad = 1.0
backward_at_once(c)
print(f"c = 4 a. Recursing at once: dc/da = {a.grad:g}")
assert a.grad == 6, "the first visit of b sent half of its derivative, the second visit sent all of it: 2 + 4"

# %% [markdown]
# Both parents of `c` are `b`. After the first, `b.grad` is 1, and 2 * 1 goes to `a`. After the second, `b.grad` is 2,
# and 2 * 2 goes to `a`, although half of that was there before.
#
# One repair: pass on only what has just arrived. Every *path* is then walked by itself, and the answer is right.
#
# **Predict** `visits`: double `x` four times, `x = x + x`, which makes 5 values. How many visits will this walk make,
# the result's included?


# %%
def backward_along_paths(node, dy=1.0):  # returns the number of visits
    node.grad += dy
    return 1 + sum(backward_along_paths(*pair) for pair in zip(node.parents, node.backward_fn(dy), strict=True))


for doublings in (16, 4):
    x = leaf = Value(1.0)
    for _ in range(doublings):
        x = x + x
    visits = backward_along_paths(x)
    print(f"{doublings} doublings: derivative {leaf.grad:g}, {visits:,} visits of {doublings + 1} values")
    assert leaf.grad == 2**doublings, "each doubling doubles the derivative"
    assert visits == 2 * leaf.grad - 1, "1 + 2 + 4 + ...: each doubling doubles the number of paths, too"

# %% [markdown]
# ## The right order
#
# A value may pass on its derivative only when everything computed from it has sent its share. A *topological order*
# puts each value after all of those. Walk along it, and each value is visited once, with a complete derivative.
# `order` writes a value down after its parents, and turns the list round.
#
# **Predict** `a.grad`: a = 2, b = 3; c = a * b, d = c + a, e = c * d. Walk backwards from e on paper. What is de/da?


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


def backward(result, watch=lambda node, gradients: None):
    gradients = {result: 1.0}
    for node in order(result):
        dy = gradients[node]
        node.grad += dy
        for parent, dx in zip(node.parents, node.backward_fn(dy), strict=True):
            gradients[parent] = gradients.get(parent, 0.0) + dx
        watch(node, gradients)


steps = []
a, b = Value(2.0), Value(3.0)
c = a * b
d = c + a
e = c * d
backward(e, watch=lambda node, gradients: steps.append((node, gradients.copy())))
print(f"e = a b (a b + a): de/da = {a.grad:g}, de/db = {b.grad:g}")
assert (a.grad, b.grad) == (2 * 2 * 9 + 2 * 2 * 3, 2 * 4 * 3 + 4), "e = a²b² + a²b, differentiated as in school"

# %% [markdown]
# The picture shows the walk. After step 1, `c` has 8, but `d` still owes it a share.

# %%
places = {a: ("a", 0, 1), b: ("b", 0, 0), c: ("c = a b", 2, 0), d: ("d = c + a", 2.5, 1), e: ("e = c d", 4.3, 0.5)}
ARROW, CENTRE = {"arrowstyle": "->", "shrinkA": 35, "shrinkB": 40}, {"ha": "center", "va": "center"}


def draw(axes, active, gradients, passed):
    for node, (name, x, y) in places.items():
        dy = gradients.get(node, 0.0)
        for parent, dx in zip(node.parents, node.backward_fn(dy), strict=True):
            _, to_x, to_y = places[parent]
            style = {"color": "black", "lw": 2.5} if node is active else {"color": "0.75", "lw": 1}
            axes.annotate("", (to_x, to_y), (x, y), arrowprops=ARROW | style)
            label = f"{dy:g} × {dx / dy:g} = {dx:g}" if node is active else ""
            axes.text((x + to_x) / 2, (y + to_y) / 2, label, size=11, backgroundcolor="white", **CENTRE)
        owing = any(node in other.parents and other not in passed for other in places)
        box = {"boxstyle": "round", "fc": "0.8" if node is active else "white", "ls": "--" if owing else "-"}
        state = f"{name} = {node.data:g}\nderivative {dy:g}\n{'so far' if owing else 'complete'}"
        axes.text(x, y, state, size=10, bbox=box, **CENTRE)


figure = Figure(figsize=(13, 7), layout="constrained")
figure.suptitle("c = a b, d = c + a, e = c d: the derivative of e by each value, found from e back to a and b")
for i, (node, gradients) in enumerate([(None, {e: 1.0}), *steps[:3]]):
    title = f"{i}. {places[node][0][0]} passes on its derivative" if i else "0. The derivative of e by itself is 1"
    axes = figure.add_subplot(2, 2, i + 1, title=title, xlim=(-0.5, 4.8), ylim=(-0.3, 1.3))
    axes.axis("off")
    draw(axes, node, gradients, [other for other, _ in steps[:i]])
figure.supxlabel("grey: passes on to its parents, derivative × slope = share      dashed: has to wait for a share")
PICTURE.parent.mkdir(parents=True, exist_ok=True)
figure.savefig(PICTURE, dpi=120)
print(f"Picture: {PICTURE}")

# %% [markdown]
# ## A long chain
#
# Why does `order` keep a list as its stack? The textbook's version calls itself, which is shorter. Add up 20,000
# terms, one after the other, as one adds up a loss.
#
# **Predict** `finished`: will the version that calls itself reach the end of this chain? (yes / no)


# %%
def order_recursive(node, seen, found):
    if node not in seen:
        seen.add(node)
        for parent in node.parents:
            order_recursive(parent, seen, found)
        found.append(node)


total = x = Value(1.0)
for _ in range(19_999):
    total = total + x
try:
    order_recursive(total, set(), [])
    finished = True
except RecursionError:
    finished = False
backward(total)
print(f"20,000 terms: does recursion finish? {finished}. With a list as stack: {x.grad:g}")
assert (finished, x.grad) == (False, 20_000), "Python allows a thousand calls inside each other, a list has no limit"

# %% [markdown]
# ## Derivatives stay
#
# Within one walk, shares add up. Nothing sets `.grad` back to 0 before the next one.
#
# **Predict** `x.grad`: y = x * x has the derivative 6 at x = 3. What is there after a second walk through y?

# %%
x = Value(3.0)
y = x * x
backward(y)
backward(y)
print(f"y = x * x at 3, two walks: {x.grad:g}")
assert x.grad == 12, "3 from either side of the product, and everything once more"

# %% [markdown]
# minitx and torch do the same, so that a large batch can come in parts. The price: clear gradients before each step.
#
# ## An operation of your own
#
# minitx's `Tensor` is one node for a whole array. `Tensor.from_op(data, parents, backward)` is our constructor again.
# Here is the cube, and the cube of somebody who forgot `dy`.
#
# **Predict** `z.grad.item()`: 10 times the cube of x has the derivative 120 at x = 2. What will the forgetful one say?


# %%
def cube(x):
    return Tensor.from_op(x.data**3, (x,), lambda dy: (dy * 3 * x.data**2,))


def cube_without_dy(x):
    return Tensor.from_op(x.data**3, (x,), lambda dy: (3 * x.data**2,))


x, z = Tensor(2.0, requires_grad=True), Tensor(2.0, requires_grad=True)
(10 * cube(x)).backward()
(10 * cube_without_dy(z)).backward()
print(f"derivative of 10 x³ at 2: {x.grad:g}; without dy: {z.grad:g}")
assert (x.grad, z.grad) == (120, 12), "dy is 10 here: without it, what came after the cube is lost"

# %% [markdown]
# ## Exercises
#
# - `topological_order(result)`: the order above, for a graph of any depth.
# - `softplus(x)`: log(1 + e^x), with its own backward function.
# - `minimum(x, y)`: the smaller of two, element by element. Who gets `dy`?
#
# You can now read `minitx/autograd/engine.py`, which is this engine for arrays.
