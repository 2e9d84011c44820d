# %% [markdown]
# # 04. ln C first, then down
#
# *30 minutes. Reads: `minitx/autograd/functional.py` (`cross_entropy`), `minitx/training/optim.py`,
# `minitx/training/schedules.py`. Needs: lesson 03.*
#
# Training has two halves: a loss that says how wrong a model is, and a step that makes it less wrong. You will know
# what both do before anything is learned, which is where many bugs show.

# %%
import math
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from minitx import AdamW, Parameter, Tensor
from minitx.autograd.functional import cross_entropy, linear
from minitx.training.schedules import LambdaLR, factor

PICTURE = Path("runs/tutorials/04_cross_entropy.png")
rng = np.random.default_rng(0)

# %% [markdown]
# ## Before the first step
#
# Three classes of points in the plane, each an arm of a spiral; and a small network that gives each point three
# numbers, its *logits*. `softmax` makes probabilities of them, and the loss, *cross-entropy*, is -ln of the probability
# of the right class, averaged over the points.
#
# **Predict** `first_loss`: the network's weights are small random numbers, so it has no opinion yet. About how large is
# its first loss? (ln 2 is 0.69, ln 3 is 1.10, ln 10 is 2.30.)

# %%
N, C = 300, 3
target = np.arange(N) % C
radius = rng.uniform(0.1, 1, N)
angle = 4 * radius + target * 2 * np.pi / C + rng.normal(scale=0.15, size=N)
points = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1).astype(np.float32)

weights = []
for fan_in, fan_out, scale in ((2, 32, 1.0), (32, 32, 1.0), (32, C, 0.1)):
    w = rng.normal(scale=scale / math.sqrt(fan_in), size=(fan_out, fan_in))
    weights += [Parameter(w.astype(np.float32)), Parameter(np.zeros(fan_out, np.float32))]


def network(x):
    w1, b1, w2, b2, w3, b3 = weights
    return linear(linear(linear(Tensor(x), w1, b1, "relu"), w2, b2, "relu"), w3, b3)


first_loss = cross_entropy(network(points), target).item()
print(f"first loss {first_loss:.4f}, ln {C} = {math.log(C):.4f}")
assert abs(first_loss - math.log(C)) < 0.05, "no opinion means a probability of about 1/3 each, and -ln(1/3) is ln 3"

# %% [markdown]
# Remember this number: C classes start at ln C. A first loss far above it says that the logits start too large, or that
# the loss is a sum and not a mean; far below it, that it is divided by too much, or that the weights are not new.
#
# ## Large logits
#
# A sure model has large logits, say 10,000, 0 and 0. It is right: the target is class 0. We compute
# -ln(exp(10000) / (exp(10000) + 1 + 1)) as it stands there.
#
# **Predict** `as_it_stands`: what does NumPy make of it? (0 / inf / nan)

# %%
logits = np.array([[10_000.0, 0.0, 0.0]])
with np.errstate(all="ignore"):
    as_it_stands = f"{-np.log(np.exp(logits[0, 0]) / np.exp(logits).sum()):g}"
right, wrong = (cross_entropy(Tensor(logits), np.array([t])).item() for t in (0, 1))
print(f"as it stands: {as_it_stands}; minitx: {right + 0:g}, and {wrong:g} if the target is class 1")
assert as_it_stands == "nan", "exp(10000) is inf, and inf / inf is nan"
assert (right, wrong) == (0, 10_000), "sure and right costs nothing, sure and wrong costs the distance"

# %% [markdown]
# Two rules save it. Subtract a row's largest logit before exp: that divides numerator and denominator by the same
# number. And never take the logarithm of a probability, which may be 0: ln softmax(x) is x - ln(sum(exp(x))).
#
# ## The gradient
#
# The derivative by the logits is shorter than the loss: the probabilities, minus 1 at the target.
#
# **Predict** `gradient[0]`: the probabilities are 0.7, 0.2 and 0.1, and class 0 is right. What is the derivative of the
# loss by the first logit?

# %%
x = Tensor(np.log([[0.7, 0.2, 0.1]]), requires_grad=True)
cross_entropy(x, np.array([0])).backward()
gradient = x.grad[0]
print(f"gradient {gradient.round(6).tolist()}")
assert np.allclose(gradient, [-0.3, 0.2, 0.1]), "too little at the target is too much elsewhere: the sum is 0"

# %% [markdown]
# ## How long is a step?
#
# Plain descent moves a weight by `lr` times its gradient. Adam divides a running mean of the gradient by the root of a
# running mean of its square. Both start at 0 and are corrected for that. We give two weights the gradients 1000 and
# 0.001, with a rate of 0.01.
#
# **Predict** `moves[0] / moves[1]`: after the first step, how many times further has the first weight moved?

# %%
pair = Parameter(np.zeros(2))
pair.grad = np.array([1000.0, 0.001])
AdamW([pair], lr=0.01).step()
moves = -pair.data
print(f"gradients 1000 and 0.001: the first step moves by {moves[0]:.6f} and {moves[1]:.6f}")
assert np.allclose(moves, 0.01, rtol=1e-4), "a number divided by its own size is its sign: each moves by lr"

# %% [markdown]
# So the first step has full length, whatever the gradient and however little is known yet. *Warmup* is the answer: the
# rate rises from 0 in a straight line, then it falls again.
#
# **Predict** `rates[70]`: the highest rate is 0.02, reached at step 20. From there a straight line leads to 0 at step
# 120. What is the rate at step 70?

# %%
STEPS, SHOWN = 120, (0, 15, 30, 120)
optimizer = AdamW(weights, lr=0.02)
schedule = LambdaLR(optimizer, factor("linear", 20, STEPS))
rates, losses, seen = [], [], {}
grid = np.stack(np.meshgrid(np.linspace(-1.2, 1.2, 121), np.linspace(-1.2, 1.2, 121)), axis=-1).astype(np.float32)
for step in range(STEPS + 1):
    logits = network(points)
    loss = cross_entropy(logits, target)
    losses.append(loss.item())
    if step in SHOWN:
        share = (logits.data.argmax(axis=1) == target).mean()
        seen[step] = (share, network(grid).data.argmax(axis=-1))
        print(f"step {step:3}: loss {loss.item():.4f}, {share:.0%} of the training points right")
    rates += schedule.get_last_lr()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    schedule.step()
print(f"rates: step 0 {rates[0]:g}, step 20 {rates[20]:g}, step 70 {rates[70]:g}")
assert math.isclose(rates[70], 0.01), "step 70 is half of the way from 20 to 120"
assert math.isclose(losses[0], first_loss, rel_tol=1e-5), "nothing had been learned before the loop"
assert losses[-1] < 0.1 < first_loss, "ln C first, then down"

# %% [markdown]
# The picture shows what each place in the plane is taken for, at four steps. At step 0 there are regions, too: of three
# nearly equal probabilities, one is still the largest. That all training points are right says nothing of new points.

# %%
figure = Figure(figsize=(12, 6.5), layout="constrained")
curve, below = figure.subfigures(2, 1, height_ratios=(2, 3))
axes = curve.subplots()
axes.plot(losses, color="black")
axes.axhline(math.log(C), ls=":", color="black")
axes.text(STEPS, math.log(C) - 0.04, "ln 3: no opinion", ha="right", va="top", size=12)
axes.plot(SHOWN, [losses[step] for step in SHOWN], "ko", label="shown below")
axes.set(xlabel="step", ylabel="loss on the training points", ylim=(-0.06, 1.25))
axes.legend(loc="center right")
for axes, (step, (share, winner)) in zip(below.subplots(1, 4), seen.items(), strict=True):
    levels, greys = np.arange(C + 1) - 0.5, ("0.95", "0.8", "0.6")
    axes.contourf(grid[..., 0], grid[..., 1], winner, levels, colors=greys, hatches=["", "//", ".."])
    for c, (marker, colour) in enumerate((("o", "white"), ("s", "0.5"), ("^", "black"))):
        axes.plot(*points[target == c].T, marker, mfc=colour, mec="black", ms=5, ls="", label=f"class {c}")
    axes.set(title=f"step {step}: {share:.0%} right", xticks=[], yticks=[], aspect="equal")
below.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=C)
below.supylabel("what each place is taken for")
PICTURE.parent.mkdir(parents=True, exist_ok=True)
figure.savefig(PICTURE, dpi=120)
print(f"Picture: {PICTURE}")

# %% [markdown]
# ## Exercises
#
# - `cross_entropy(logits, targets)`: with the two rules above. Rows whose target is -100 do not count.
# - `adamw_step(x, g, m, v, t, lr, betas, eps, weight_decay)`: one step for one array. The W stands for a weight decay
#   that comes before the step and does not go through the division.
#
# You can now read `cross_entropy` in `minitx/autograd/functional.py` and `Adam` in `minitx/training/optim.py`.
