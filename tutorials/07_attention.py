# %% [markdown]
# # 07. Attention on four tokens
#
# *30 minutes. Reads: `minitx/learn/plain.py`, `minitx/nn/attention.py`. Needs: lesson 06.*
#
# Attention is a weighted mean whose weights the tokens choose. You will compute a weight by hand, put a mask where it
# belongs, and learn to notice a wrong scale, which no error message will tell you about.

# %%
import math
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from minitx import Tensor
from minitx.learn import plain
from minitx.nn.attention import MultiHeadAttention

PICTURE = Path("runs/tutorials/07_attention.png")
TOKENS = ["Ann", "lost", "her", "keys"]
ANN, LOST, HER, KEYS = range(4)

# %% [markdown]
# ## 1. Ask, compare, gather
#
# Every token has three vectors of K numbers: what it asks for (q), what it offers to those who ask (k), and what it
# hands over (v). The score of a pair is q of the one times k of the other, divided by sqrt(K). A softmax makes each
# token's scores weights that add up to 1, and the token gathers the v of all, weighted.
#
# A trick makes the weights visible: let v be the identity matrix. Then what a token gathers *is* its row of weights.
# The q and k below are written by hand, to be clear; what a trained head looks for is seldom so tidy. In head 1 every
# token asks for the one before it ("Ann" for itself). That pair has the score 6 / sqrt(4) = 3, all other pairs 0.
#
# **Predict** `float(one_back[LOST, ANN])`: Which weight does "lost" give to "Ann"? (exp(3) is about 20.)


# %%
def weights_of(q, k, num_heads=1, attention_mask=1.0):
    """(H, T, T): the weights of plain.attention for q and k of shape (T, D), or (1, T, D)."""
    q, k = (Tensor(np.reshape(x, (1, *np.shape(x)[-2:])), dtype=np.float64) for x in (q, k))
    T = q.shape[1]
    v = Tensor(np.tile(np.eye(T), num_heads)[None])
    y = plain.attention(q, k, v, num_heads, attention_mask)
    return y.data.reshape(T, num_heads, T).transpose(1, 0, 2)


place = np.eye(4)
q1, k1 = 6 * place[[ANN, ANN, LOST, HER]], place  # in head 1, k says: I stand here
name, verb, pronoun, thing = np.eye(4)
k2 = np.array([name, verb, pronoun, thing])  # in head 2, k says: I am a word of this kind
q2 = 6 * np.array([verb, name + thing, name, pronoun])

(one_back,), (kind,) = weights_of(q1, k1), weights_of(q2, k2)
print(f"'lost' gives 'Ann' {one_back[LOST, ANN]:.3f}, and each of the others {one_back[LOST, KEYS]:.3f}")
assert np.isclose(one_back[LOST, ANN], math.exp(3) / (math.exp(3) + 3)), "one score of 3 against three of 0"
assert np.allclose(one_back.sum(axis=-1), 1), "each row is a share-out of 1"

# %% [markdown]
# ## 2. A mask goes before the softmax
#
# Texts of a batch are filled up to one length with padding, and nobody should listen to padding. Suppose all four
# tokens score alike, and "keys" were padding. Somebody computes the softmax first, and then sets the weights of "keys"
# to 0.
#
# **Predict** `float(after[0].sum())`: What do the weights of a row add up to now?

# %%
real = np.array([1.0, 1.0, 1.0, 0.0])
alike = np.zeros((4, 4))
(all_four,) = weights_of(alike, alike)
after = all_four * real
(before,) = weights_of(alike, alike, attention_mask=real[None])
print(f"\nMask after the softmax: {after[0]}, in all {after[0].sum():.2f}")
print(f"Mask before it:         {before[0].round(3)}, in all {before[0].sum():.2f}")
lost = (weights_of(q2, k2)[0] * real).sum(axis=-1)
print("With the scores of head 2, mask after:", dict(zip(TOKENS, lost.round(2).tolist(), strict=True)))
assert after[0].sum() == 0.75, "a quarter of the attention went to padding and was thrown away"
assert np.allclose(before.sum(axis=-1), 1), "a score of minus a lot before the softmax: the others share what is free"

# %% [markdown]
# Vectors shrink, each token's by another factor, which depends on the padding. Nothing fails, and nothing warns.
#
# A batch may hold an empty text: a sample without any real token. Minus infinity as the score of padding would be 0 / 0
# in the softmax, NaN, and the loss of the whole batch NaN with it. See how `plain.attention` avoids it.
#
# **Predict** `float(np.abs(y.data[1]).sum())`: The second text of a batch is empty. Add up the absolute values of what
# `plain.attention` gives for it: what is the sum?

# %%
rng = np.random.default_rng(0)
q, k, v = (Tensor(rng.normal(size=(2, 4, 8))) for _ in range(3))
y = plain.attention(q, k, v, num_heads=2, attention_mask=np.array([[1, 1, 1, 0], [0, 0, 0, 0]]))
with np.errstate(invalid="ignore"):
    naive = plain.softmax(Tensor(np.full((1, 4), -np.inf)))
print(f"\nSoftmax of four times -inf: {naive.data[0]}; plain.attention: {y.data[1, 0, :3]} ...")
assert np.isnan(naive.data).all(), "the naive way is 0 / 0"
assert (y.data[1] == 0).all(), "-1e30 stays finite, and a sample without a real token is multiplied by 0"

# %% [markdown]
# ## 3. The square root of what?
#
# A sum of K products of numbers with variance 1 has variance K: without a divisor, long vectors make large scores, and
# the softmax gives nearly everything to one token. A head has K = D / H numbers, so the divisor is sqrt(K). A common
# mistake is sqrt(D). The entropy of the weights tells how evenly a token listens: 0 to one alone, log(T) to all alike.
#
# **Predict** `entropy_with_d`: Divided by sqrt(D), with 8 heads, the entropy is (lower / the same / higher).

# %%
T, D, H = 16, 128, 8
K = D // H
q, k = rng.normal(size=(2, T, D))
right = weights_of(q, k, H)
wrong = weights_of(q * math.sqrt(K) / math.sqrt(D), k, H)  # plain.attention divides by sqrt(K); this makes it sqrt(D)
with_k, with_d = (-(weights * np.log(weights)).sum(axis=-1).mean() for weights in (right, wrong))
entropy_with_d = "the same" if np.isclose(with_k, with_d, rtol=0.01) else "higher" if with_d > with_k else "lower"
print(f"\nEntropy with sqrt(K): {with_k:.2f}; with sqrt(D): {with_d:.2f}; largest possible: {math.log(T):.2f}")
assert entropy_with_d == "higher", "scores too small by sqrt(H): the heads can hardly tell tokens apart"
assert math.log(T) - with_d < 0.3 * (math.log(T) - with_k), "nearly as even as no attention at all"

# %% [markdown]
# No error, no NaN, and training goes on. Only a number that you look at gives it away.
#
# ## 4. Several heads
#
# One softmax is one mean. Several heads take several means at once: head h owns K columns of q, k and v, and a last
# matrix mixes what they found. All are columns of the same D x D matrices.
#
# **Predict** `parameters`: 8 heads in place of 2, at the same width. The number of parameters is
# (smaller / the same / larger).

# %%
two, eight = (sum(p.data.size for p in MultiHeadAttention(D, H, rng=rng).parameters()) for H in (2, 8))
parameters = "the same" if two == eight else "larger" if eight > two else "smaller"
print(f"\nParameters with 2 heads: {two:,}, with 8: {eight:,}")
assert two == 4 * (D * D + D), "four matrices with their biases"
assert parameters == "the same", "more heads are narrower heads"

# %%
(masked,) = weights_of(q2, k2, attention_mask=real[None])
panels = {
    "Head 1: the word before": one_back,
    "Head 2: the word that fits": kind,
    'Head 2, "keys" masked': masked,
}
figure = Figure(figsize=(11.5, 4.3), layout="constrained")
for axes, (title, weights) in zip(figure.subplots(1, 3), panels.items(), strict=True):
    axes.imshow(weights, cmap="Greys", vmin=0, vmax=1)
    for i, j in np.ndindex(4, 4):
        axes.text(
            j, i, f"{weights[i, j]:.2f}", ha="center", va="center", color="white" if weights[i, j] > 0.5 else "black"
        )
    axes.set_xticks(range(4), TOKENS)
    axes.set_yticks(range(4), TOKENS)
    axes.set(title=title, xlabel="... takes this much from")
    axes.hlines(np.arange(0.5, 3), -0.5, 3.5, color="0.5", linewidth=1)
axes.axvspan(2.5, 3.5, fill=False, hatch="///", edgecolor="0.75", linewidth=0)
figure.get_axes()[0].set_ylabel("this word ...")
figure.suptitle(
    '"Ann lost her keys": who listens to whom, in two heads written by hand (rows add up to 1, but for rounding)'
)
PICTURE.parent.mkdir(parents=True, exist_ok=True)
figure.savefig(PICTURE, dpi=120)
print(f"Picture: {PICTURE}")

# %% [markdown]
# In the picture, "her" finds "Ann", and "lost" shares itself between who and what, until "keys" is masked.
#
# ## Exercises
#
# - `attention`: one head, with a mask, also for a sample without a real token.
# - `multi_head_attention`: the projections, the heads side by side, and the last matrix.
#
# Now you can read `minitx/nn/attention.py`.
