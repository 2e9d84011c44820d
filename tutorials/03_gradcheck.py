# %% [markdown]
# # 03. A derivative has a witness
#
# *30 minutes. Reads: `minitx/learn/gradcheck.py`, `minitx/learn/plain.py`. Needs: lessons 01 and 02.*
#
# A backward function is written by hand, and nothing complains when it is wrong. But the definition of the derivative
# needs no backward function at all, so it can bear witness. You will question it well: with which step, and along which
# direction.

# %%
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from minitx import Tensor, gradcheck
from minitx.learn import plain

PICTURE = Path("runs/tutorials/03_gradcheck.png")
rng = np.random.default_rng(0)

# %% [markdown]
# ## A smaller step
#
# The derivative is what (f(x + h) - f(x - h)) / 2h comes to as h shrinks. We try it on x e^x at x = 1, beside the
# engine. With h = 1e-6 nine digits are right.
#
# **Predict** `change`: take h = 1e-12, a million times smaller. What becomes of the error?
# (smaller / the same / larger)


# %%
def f(x):
    return x * x.exp()


def value(x):
    return f(Tensor(x)).data


def quotient(x, h):
    return (value(x + h) - value(x - h)) / (2 * h)


def one_sided(x, h):
    return (value(x + h) - value(x)) / h


one = np.float64(1)
x = Tensor(one, requires_grad=True)
f(x).backward()
error = {h: abs(quotient(one, h) - x.grad) for h in (1e-1, 1e-3, 1e-6, 1e-9, 1e-12)}
for h, size in error.items():
    print(f"h = {h:.0e}: {quotient(one, h):.12f}, error {size:.0e}")
print(f"the engine: {x.grad:.12f}")
change = "larger" if error[1e-12] > 2 * error[1e-6] else "smaller" if error[1e-12] < error[1e-6] / 2 else "the same"
assert error[1e-6] < 1e-9 * x.grad, "nine digits, as promised"
assert change == "larger", "f(x + h) and f(x - h) agree in nearly all their digits, and only the rest is left"

# %% [markdown]
# Two errors pull in opposite directions. A large h misses that the curve is not straight: *truncation*, which shrinks
# with h². A small h subtracts two nearly equal numbers, and the division by 2h makes the noise of their last digits
# large: *rounding*, which grows as h shrinks.
#
# In float32 a number has seven digits, not sixteen.
#
# **Predict** `quotient32`: x is 1 and h is 1e-8, both float32. What does (f(x + h) - f(x - h)) / 2h come to?

# %%
quotient32 = float(quotient(np.float32(1), np.float32(1e-8)))
print(f"float32, h = 1e-8: {quotient32:g}; the neighbours of 1 are {np.spacing(np.float32(1)):.0e} away")
assert quotient32 == 0, "x + h and x - h are both rounded to x"

# %% [markdown]
# Hence a check runs in float64, even for code that will train in float32. The picture puts all three together.

# %%
steps, points = 10.0 ** np.arange(-13, 0, 0.25), np.linspace(0.5, 1.5, 41)
slope = (1 + points) * np.exp(points)  # of x e^x, by hand
figure = Figure(figsize=(8.5, 5.5), layout="constrained")
axes = figure.add_subplot()
best = {}
for label, rule, dtype, style, shift in (
    ("two-sided, float32", quotient, np.float32, "k^:", (-45, -8)),
    ("one-sided, float64", one_sided, np.float64, "ks--", (0, 32)),
    ("two-sided, float64", quotient, np.float64, "ko-", (0, -18)),
):
    errors = [np.abs(rule(points.astype(dtype), dtype(h)) / slope - 1).max() for h in steps]
    best[label] = steps[np.argmin(errors)]
    axes.loglog(steps, errors, style, markersize=4, lw=1, label=label)
    place = {"xy": (best[label], min(errors)), "xytext": shift, "textcoords": "offset points", "ha": "center"}
    axes.annotate(f"best: {best[label]:.0e}", **place, weight="bold")
    print(f"{label}: best at h = {best[label]:.0e}, where the error is {min(errors):.0e}")
axes.text(1e-11, 1e-8, "too small: rounding\nhas eaten the digits", ha="center")
axes.text(4e-3, 1e-10, "too large: the curve\nis not straight", ha="center")
axes.text(1e-12, 2, "float32: not one digit is right")
axes.set(xlabel="step h", ylabel="relative error of the derivative", ylim=(1e-12, 20))
axes.set_title("The derivative of x e^x by differences: a step can be too large, and too small")
axes.grid(alpha=0.25)
axes.legend()
PICTURE.parent.mkdir(parents=True, exist_ok=True)
figure.savefig(PICTURE, dpi=120)
print(f"Picture: {PICTURE}")
assert 1e-6 < best["two-sided, float64"] < 1e-4 < best["two-sided, float32"], "with fewer digits, the step is larger"

# %% [markdown]
# ## Ones hide mistakes
#
# A result y with many elements needs a direction: a *cotangent* c, and the derivative of sum(c * y). It is what
# `backward` gets as `dy`. The simplest is ones, which is `y.sum().backward()`. Try it on softmax.
#
# **Predict** `largest`: every row of a softmax adds up to 1. After `softmax(x).sum().backward()`, which is the largest
# number in `x.grad`, rounded to six digits?

# %%
x = Tensor(rng.normal(size=(3, 4)), requires_grad=True)
plain.softmax(x).sum().backward()
largest = round(float(np.abs(x.grad).max()), 6)
print(f"the gradient of softmax under ones: at most {np.abs(x.grad).max():.0e}")
assert largest == 0, "the sum is 3, the number of rows, whatever x is"

# %% [markdown]
# So under ones a backward function that returns zeros looks right. Here is a wrong one that looks reasonable: it takes
# the mean of `dy`, where the right one takes their average weighted by y.
#
# **Predict** `under_ones`: does the wrong backward function agree with the differences if c is all ones? (yes / no)


# %%
def softmax_with_mean(x):
    y = plain.softmax(x).data
    return Tensor.from_op(y, (x,), lambda dy: (y * (dy - dy.mean(axis=-1, keepdims=True)),))


def agrees(function, x, c, h=1e-6):
    """A gradcheck in a few lines: does backward say what differences say?"""
    x.grad = None
    function(x).backward(c)
    differences = np.empty(x.shape)
    for index in np.ndindex(x.shape):
        step = np.zeros(x.shape)
        step[index] = h
        up, down = function(Tensor(x.data + step)).data, function(Tensor(x.data - step)).data
        differences[index] = (c * (up - down)).sum() / (2 * h)
    return np.allclose(x.grad, differences, rtol=1e-5, atol=1e-8)


under_ones = agrees(softmax_with_mean, x, np.ones(x.shape))
under_random = agrees(softmax_with_mean, x, rng.normal(size=x.shape))
print(f"the wrong softmax passes with ones: {under_ones}; with a random c: {under_random}")
assert under_ones, "both are 0: a witness who was not asked anything"
assert not under_random, "a random direction is blind to nothing but an accident"
assert agrees(plain.softmax, x, rng.normal(size=x.shape)), "the right one passes"

# %% [markdown]
# `minitx.gradcheck` does the same: two-sided, float64, h = 1e-6, a random c. When the witnesses disagree, it tries
# the usual mistakes one after the other. We give it the cube of lesson 01 that forgot `dy`.

# %%
try:
    gradcheck(lambda x: Tensor.from_op(x.data**3, (x,), lambda dy: (3 * x.data**2,)), x)
    message = ""
except RuntimeError as error_found:
    message = str(error_found)
print(message)
assert "missing chain factor dy" in message, "twice the dy should give twice the derivative"

# %% [markdown]
# The definition stays a witness. As a method it would cost two runs of the whole model for each single weight; the
# engine needs one walk for all of them.
#
# ## Exercises
#
# - `softmax(x)`: over the last axis, for numbers as large as 10,000. Compose it, or write its backward by hand.
# - `layer_norm(x, w, b)`: over the last axis, with three gradients to be right.
#
# `agrees` and `gradcheck` will tell you before `minitx learn` does. You can now read `minitx/learn/gradcheck.py`.
