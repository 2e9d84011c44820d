# %% [markdown]
# # 08. Block, residual, norm
#
# *30 minutes. Reads: `minitx/nn/transformer.py`. Needs: lessons 06 and 07.*
#
# A transformer block does not replace its input: it adds to it. You will see what becomes of the gradient at the lowest
# of twelve blocks without that addition, what the norm is for, and where dropout does harm.

# %%
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from minitx import Tensor, inference
from minitx.nn.layers import Dropout, LayerNorm
from minitx.nn.transformer import TransformerBlock

PICTURE = Path("runs/tutorials/08_blocks.png")
DEPTH, D, H, F = 12, 64, 4, 256

# %% [markdown]
# ## 1. Twelve blocks, four ways to wire them
#
# Attention and the feed-forward network are the two sublayers of a block. The four functions below are four ways to put
# them together. For each we stack twelve blocks with the same random weights, send a random gradient in from above, and
# ask how much of it reaches the weights of each block.
#
# **Predict** `without_residual`: With neither residual nor norm, the gradient at block 1, beside that at block 12, is
# (smaller / about the same / larger).


# %%
def neither(block, x):
    return block.feed_forward(block.attention(x))


def residual_only(block, x):
    x = x + block.attention(x)
    return x + block.feed_forward(x)


def as_built(block, x):
    return block(x)  # residual and norm: pre-norm or post-norm, as block.norm_first says


def run(wiring, scale=1, norm_first=False):
    """The size of the gradient at each block, and the standard deviation of what comes out before any last norm."""
    rng = np.random.default_rng(0)
    blocks = [TransformerBlock(D, H, F, dropout=0.0, norm_first=norm_first, rng=rng) for _ in range(DEPTH)]
    for block in blocks:
        for part in (block.attention, block.feed_forward):
            for name, parameter in part.named_parameters():
                parameter.data *= scale if name.endswith("weight") else 1
    x = Tensor(rng.normal(size=(8, 16, D)).astype(np.float32))
    for block in blocks:
        x = wiring(block, x)
    y = LayerNorm(D)(x) if norm_first else x
    y.backward(rng.normal(size=y.shape).astype(np.float32))
    return [float(np.linalg.norm(block.feed_forward.linear1.weight.grad)) for block in blocks], float(x.data.std())


def compare(a, b):
    """Gradients are random: within a factor of two counts as the same."""
    return "smaller" if a < b / 2 else "larger" if a > 2 * b else "about the same"


bare, _ = run(neither)
without_residual = compare(bare[0], bare[-1])
print(f"Neither: block 12 gets {bare[-1]:.2g}, block 1 gets {bare[0]:.1g}")
assert without_residual == "smaller", "every sublayer multiplies the gradient, here by a number below 1"
assert bare[0] < 1e-10 * bare[-1], "twelve blocks of two sublayers: a product of 24 such numbers"

# %% [markdown]
# Block 1 would never learn. With x + f(x), the gradient of x is dy plus what came through f: dy itself arrives whole,
# however many blocks lie between.
#
# **Predict** `with_residual`: With the residual and no norm, the gradient at block 1, beside that at block 12, is
# (smaller / about the same / larger).

# %%
added, _ = run(residual_only)
with_residual = compare(added[0], added[-1])
print(f"\nResidual only: block 12 gets {added[-1]:.3g}, block 1 gets {added[0]:.3g}")
assert with_residual == "about the same", "the path through the additions has no factor at all"

# %% [markdown]
# ## 2. What the norm is for
#
# That looks settled. But weights grow in training. Let all matrices be twice as large as they started.
#
# **Predict** `growth`: With the residual and no norm, the gradient at block 1 then becomes
# (twice as large / up to a thousand times as large / more than a million times as large).

# %%
added_doubled, _ = run(residual_only, scale=2)
times = added_doubled[0] / added[0]
sizes = {2.5: "twice as large", 1e3: "up to a thousand times as large"}
growth = next((words for limit, words in sizes.items() if times < limit), "more than a million times as large")
print(f"\nResidual only, weights doubled: block 1 gets {added_doubled[0]:.1e}, {times:.0e} times as much")
assert times > 1e6, "what a block adds is larger than its input, and the next block adds to that"

# %% [markdown]
# LayerNorm gives every token mean 0 and variance 1, whatever came in. Post-norm (the first paper, BERT) does so after
# each addition: norm(x + f(x)). Pre-norm (GPT-2) gives f a normalised copy: x + f(norm(x)); the stream itself is never
# touched, so it grows, and a last norm ends the stack.
#
# **Predict** `post_beside_pre`: With post-norm, the gradient at block 1, beside that with pre-norm, is
# (smaller / about the same / larger).

# %%
pre, pre_std = run(as_built, norm_first=True)
post, post_std = run(as_built)
pre_doubled, pre_doubled_std = run(as_built, 2, norm_first=True)
post_doubled, post_doubled_std = run(as_built, 2)
post_beside_pre = compare(post[0], pre[0])
print("\n                   block 1  block 12  stream (standard deviation)")
rows = {"pre-norm": (pre, pre_std), "post-norm": (post, post_std)}
rows |= {"pre, doubled": (pre_doubled, pre_doubled_std), "post, doubled": (post_doubled, post_doubled_std)}
for name, (gradients, std) in rows.items():
    print(f"{name:15}{gradients[0]:11.0f} {gradients[-1]:9.0f} {std:9.2f}")
assert post_beside_pre == "about the same", "at the start, both bring it down; the residual does that"
assert max(pre_doubled[0] / pre[0], post_doubled[0] / post[0]) < 10, "doubled weights hardly matter now"
assert pre_doubled_std > 3 * post_doubled_std, "the stream of pre-norm grows, that of post-norm cannot"
assert post_doubled[-1] > 2 * pre_doubled[-1], "and the more it has grown, the less a late block counts"

# %% [markdown]
# With weights of double size, which is about what Xavier's rule gives, the last block of post-norm gets several times
# what that of pre-norm gets. Xiong et al. 2020 find in this why post-norm models need a warm-up.
#
# ## 3. Where dropout belongs
#
# Dropout sets numbers to 0 while training. It belongs on what a sublayer *adds*: x + dropout(f(x)). Put on the stream,
# as dropout(norm(x + f(x))), it hits the path that was to arrive whole.
#
# **Predict** `arrived`: Twelve blocks with two dropouts each, p = 0.1, all on the stream. Which share of the numbers
# gets to the top without being set to 0? (0.9 ** 10 is about 0.35.)

# %%
dropout = Dropout(0.1, rng=np.random.default_rng(0))
stream = Tensor(np.ones((1000, 1000), np.float32))
for _ in range(2 * DEPTH):
    stream = dropout(stream)
arrived = float((stream.data > 0).mean())
print(f"\n{arrived:.3f} of the stream arrives")
assert abs(arrived - 0.9**24) < 0.002, "0.9 to the power of 24"

# %% [markdown]
# Dropout on what is added leaves the stream whole. What is kept is divided by 0.9, so that the mean stays the same. In
# use there is nothing to drop.
#
# **Predict** `same_twice`: A block with dropout 0.5, inside `with inference():`. Are two results for one input equal?

# %%
block = TransformerBlock(D, H, F, dropout=0.5, rng=np.random.default_rng(0))
x = Tensor(np.random.default_rng(1).normal(size=(1, 5, D)).astype(np.float32))
training_twice = bool((block(x).data == block(x).data).all())
with inference():
    same_twice = bool((block(x).data == block(x).data).all())
print(f"\nEqual while training: {training_twice}; with inference(): {same_twice}")
assert not training_twice, "a new mask each time"
assert same_twice, "inference() switches dropout off for the run, and does not touch the model"

# %%
bare_doubled, _ = run(neither, scale=2)
panels = {"neither residual nor norm": (bare, bare_doubled), "residual, no norm": (added, added_doubled)}
panels |= {"residual, pre-norm": (pre, pre_doubled), "residual, post-norm": (post, post_doubled)}
figure = Figure(figsize=(12, 4.2), layout="constrained")
for axes, (title, (once, twice)) in zip(figure.subplots(1, 4, sharey=True), panels.items(), strict=True):
    axes.semilogy(range(1, DEPTH + 1), once, "o-", color="black", markersize=4, label="weights as they start")
    axes.semilogy(
        range(1, DEPTH + 1), twice, "s--", color="0.45", markersize=9, fillstyle="none", label="weights doubled"
    )
    axes.set(title=title, xlabel="block (1 is the lowest)", xticks=[1, 4, 8, 12])
    axes.grid(alpha=0.3)
figure.get_axes()[0].set_ylabel("gradient that reaches the block")
axes.legend(loc="lower right")
figure.suptitle("A residual and a norm together: every block gets its gradient, whatever the size of the weights")
PICTURE.parent.mkdir(parents=True, exist_ok=True)
figure.savefig(PICTURE, dpi=120)
print(f"Picture: {PICTURE}")

# %% [markdown]
# In the first panel, doubled weights happen to be of the right size; nobody can keep them there.
#
# ## Exercises
#
# - `pre_norm_block` and `post_norm_block`: compose a block of the functions you are given, dropout in its place.
# - `dropout`: what it does while training, and what in use.
#
# Now you can read `minitx/nn/transformer.py`.
