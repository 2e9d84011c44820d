# %% [markdown]
# # 02. Broadcasting is reuse
#
# *25 minutes. Reads: `minitx/autograd/engine.py`. Needs: lesson 01.*
#
# NumPy stretches small arrays to fit large ones. To a derivative, that is nothing new: a number is used several times,
# so its shares add up. You will be able to say, for any two shapes, over which axes.

# %%
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from minitx import Tensor, stack
from minitx.autograd.engine import unbroadcast

PICTURE = Path("runs/tutorials/02_broadcasting.png")
rng = np.random.default_rng(0)

# %% [markdown]
# ## One weight, four rows
#
# In `x * w`, with x of shape (4, 3) and w of shape (3,), NumPy uses `w` for each of the four rows. By the product rule,
# `w` receives `dy * x`, of shape (4, 3).
#
# **Predict** `w.grad.shape`: which shape will `w.grad` have?

# %%
x = Tensor(rng.normal(size=(4, 3)))
w = Tensor(rng.normal(size=3), requires_grad=True)
dy = rng.normal(size=(4, 3))
(x * w).backward(dy)
print(f"dy * x has the shape {(dy * x.data).shape}, w.grad {w.grad.shape}: {w.grad}")
assert w.grad.shape == (3,), "a derivative by w has one number for each number in w"

# Without broadcasting: the same w, used four times.
v = Tensor(w.data, requires_grad=True)
stack([x[i] * v for i in range(4)]).backward(dy)
print(f"used four times, without broadcasting: {v.grad}")
assert np.allclose(w.grad, v.grad), "broadcasting is nothing but this reuse"
assert np.allclose(w.grad, (dy * x.data).sum(axis=0)), "four shares for each weight, added up along axis 0"

# %% [markdown]
# The four shares of a weight stand below each other in `dy * x`. Adding them up is a sum over axis 0, the axis along
# which `w` was stretched.
#
# Now a column. It has an axis of size 1, and NumPy stretches that to 3.
#
# **Predict** `column.grad[0, 0]`: column (4, 1) + row (3,) has the shape (4, 3). We take the sum of all its elements.
# What is the derivative by the first element of the column?

# %%
column = Tensor(np.zeros((4, 1)), requires_grad=True)
row = Tensor(np.zeros(3), requires_grad=True)
(column + row).sum().backward()
print(f"column.grad {column.grad.tolist()}, row.grad {row.grad.tolist()}")
assert (column.grad == 3).all(), "each element of the column is used in three places"
assert (row.grad == 4).all(), "each element of the row is used in four"

# %% [markdown]
# The picture shows both: where the copies came from, the shares go back to.

# %%
shares = np.arange(1, 13).reshape(4, 3)
row, column = np.array([10, 20, 30]), np.array([[10], [20], [30], [40]])


def cells(axes, values, left, top, label, beside, **frame):
    for (i, j), value in np.ndenumerate(values):
        axes.add_patch(Rectangle((left + j - 0.5, -top - i - 0.5), 1, 1, ec="black", **frame))
        axes.text(left + j, -top - i, f"{value}", size=12, ha="center", va="center")
    rows, columns = values.shape
    x, y = (-0.8, -top - (rows - 1) / 2) if beside else (left + (columns - 1) / 2, 0.9)
    axes.text(x, y, label, size=11, ha="right" if beside else "center", va="center")


figure = Figure(figsize=(10, 8.5), layout="constrained")
for (forward, backward), (small, left, top, axis) in zip(
    figure.subplots(2, 2, height_ratios=(7.4, 5), subplot_kw={"aspect": "equal", "xlim": (-3.7, 2.7)}),
    ((row, 0, -3, 0), (column, -3, 0, 1)),
    strict=True,
):
    forward.set(title=f"forward: {small.shape} is stretched along axis {axis}")
    backward.set(title=f"backward: the sum over axis {axis} gives {small.shape}")
    beside = axis == 0
    cells(forward, np.atleast_2d(small), left, top, "the array", beside, fc="0.8")
    cells(forward, np.broadcast_to(small, (4, 3)), 0, 0, "as it is used", beside, fc="white", ls="--")
    cells(backward, shares, 0, 0, "shares,\none for each use", beside, fc="white", ls="--")
    cells(backward, np.atleast_2d(unbroadcast(shares, small.shape)), left, top, "its gradient", beside, fc="0.8")
    for k in range(small.size):
        near, far = ((k, 0.6), (k, 2.4)) if beside else ((-0.6, -k), (-2.4, -k))
        forward.annotate("", near, far, arrowprops={"arrowstyle": "->", "lw": 2})
        backward.annotate("", far, near, arrowprops={"arrowstyle": "->", "lw": 2})
    for axes in (forward, backward):
        axes.set_ylim(-3.7, 3.7 if beside else 1.3)
        axes.axis("off")
PICTURE.parent.mkdir(parents=True, exist_ok=True)
figure.savefig(PICTURE, dpi=120)
print(f"Picture: {PICTURE}")

# %% [markdown]
# ## The rule
#
# NumPy stretches in two ways: it puts new axes in front, and it repeats axes of size 1. The derivative is summed over
# both, and `unbroadcast` in the engine does so for all operations. Give it ones, and it counts uses.
#
# **Predict** `uses[4, 1]`: in a sum of shape (2, 4, 3), how often is each element of an array of shape (4, 1) used?

# %%
uses = {}
for shape in ((3,), (4, 1), (1, 3), (2, 1, 1), ()):
    counts = unbroadcast(np.ones((2, 4, 3)), shape)
    names = np.arange(counts.size).reshape(shape)  # the same by hand: name the elements, stretch, count the names
    assert (np.bincount(np.broadcast_to(names, (2, 4, 3)).ravel()) == counts.ravel()).all(), "one share for each use"
    uses[shape] = int(counts.flat[0])
    print(f"{shape!s:10} in (2, 4, 3): {uses[shape]} uses of each element")
assert uses[4, 1] == 2 * 3, "a new axis of 2 in front, and the axis of 1 stretched to 3"

# %% [markdown]
# ## How it goes wrong without an error
#
# Somebody writes the sum for a column (4, 1) as `dy.sum(axis=1)`. That has the shape (4,). Then comes an ordinary step,
# `column - 0.1 * gradient`.
#
# **Predict** `moved.shape`: which shape does the column have after this step?

# %%
gradient = np.ones((4, 3)).sum(axis=1)
moved = column - 0.1 * gradient
print(f"column {column.shape} - 0.1 * gradient {gradient.shape} has the shape {moved.shape}")
assert moved.shape == (4, 4), "(4,) counts as (1, 4), and both are stretched"

square = rng.normal(size=(4, 4))
wrong_axis = square.sum(axis=0).reshape(4, 1)  # should have been axis 1
print(f"wrong axis in a square: the shape {wrong_axis.shape} is right, the numbers are not")
assert wrong_axis.shape == unbroadcast(square, (4, 1)).shape, "no shape gives this mistake away"
assert not np.allclose(wrong_axis, unbroadcast(square, (4, 1))), "and yet every number is another"

# %% [markdown]
# The column has become a matrix, and training would go on. Hence two habits: keep the axis (`keepdims=True`), and test
# with a different size for every axis.
#
# ## Used twice by one operation
#
# Reuse needs no stretching. In `x / x` one array is both the upper and the lower part, and receives a share from each.
#
# **Predict** `x.grad[0]`: y = x / x at x = 2, 5 and 8. What is the derivative at the first?

# %%
x = Tensor(np.array([2.0, 5.0, 8.0]), requires_grad=True)
(x / x).sum().backward()
print(f"x / x: {x.grad}")
assert np.allclose(x.grad, 0), "dy / x from above and -dy x / x² from below cancel: x / x is 1 wherever x is"

# %% [markdown]
# ## Exercises
#
# - `unbroadcast(gradient, shape)`: sum a gradient down to a shape, by the rule above.
# - `divide(x, y)`: division with its own backward function, for any shapes that broadcast. `from_op` un-broadcasts for
#   you; you supply a share for each of the two.
#
# You can now read `unbroadcast` in `minitx/autograd/engine.py`, and find the one place that calls it.
