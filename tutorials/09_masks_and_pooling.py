# %% [markdown]
# # 09. Batches, masks, pooling
#
# *25 minutes. Reads: `minitx/data/batches.py`, `minitx/nn/pooling.py`. Needs: lessons 05, 07 and 08.*
#
# An array has no ragged edge, so short sentences are filled up with padding. Padding must not be *seen*, which is the
# mask's business, and should not be *many*, which is the batch's. Afterwards you can say whether a sentence's vector
# depends on its neighbours in the batch, and what share of a batch is work for nothing.

# %%
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from minitx import BPETokenizer, EncoderConfig, SentenceEncoder
from minitx.data.batches import length_batches, pad
from minitx.data.samples import synthetic_reviews
from minitx.nn.pooling import Pooling

PICTURE = Path("runs/tutorials/09_masks_and_pooling.png")

# %% [markdown]
# ## One array for sentences of several lengths
#
# `pad` fills every sentence up to the longest of its batch and returns two arrays: `ids` (B, T), and `attention_mask`
# (B, T), which is True for a real token. The mask is made from the lengths. It could not be made from the ids, since
# nothing forbids a sentence to contain the number that pads.
#
# **Predict** `padding`: three sentences have 2, 9 and 4 tokens. What share of the padded array is padding?


# %%
def padding_share(masks):
    """The share of all positions, of all batches together, that holds no real token."""
    return 1 - sum(mask.sum() for mask in masks) / sum(mask.size for mask in masks)


short, long, middle = [7, 3], [5, 1, 4, 1, 5, 9, 2, 6, 5], [3, 5, 8, 9]
ids, attention_mask = pad([short, long, middle], pad_id=0)
padding = padding_share([attention_mask])
print(f"ids {ids.shape}\n{ids}\nattention_mask\n{attention_mask.astype(int)}")
print(f"{attention_mask.size} positions, {attention_mask.sum()} real tokens: {padding:.3f} of it is padding")
assert padding == 12 / 27, "3 rows of 9 positions; 7 + 0 + 5 of them are padding"

# %% [markdown]
# ## Alone, and beside a longer one
#
# The question to ask of any encoder: give it a sentence by itself, then the same sentence in a batch with a longer one.
# Seven positions of padding now stand behind its two tokens. They have embeddings and positions like any other token,
# and every block computes vectors for them.
#
# **Predict** `same_with_mask`: attention and pooling are both given the mask. Is the sentence's vector the same in both
# cases, up to rounding?

# %%
sizes = {"hidden_size": 32, "intermediate_size": 64, "num_layers": 2, "num_heads": 4}
encoder = SentenceEncoder(EncoderConfig(vocab_size=10, **sizes), rng=np.random.default_rng(0)).eval()
alone, alone_mask = pad([short], pad_id=0)
beside, beside_mask = pad([short, long], pad_id=0)
by_itself = encoder(alone, alone_mask).data[0]
with_mask = encoder(beside, beside_mask).data[0]
difference = np.abs(with_mask - by_itself).max()
same_with_mask = bool(difference < 1e-5)
print(f"\nThe same sentence beside a longer one: its vector changes by {difference:.1e} at most")
assert same_with_mask, "what the mask hides has no weight in attention, and is not part of the mean"

# %% [markdown]
# Attention gave the padding no weight, so the vectors of the two real *tokens* are right. Now keep that, and take only
# the last step carelessly: `x.mean(dim=1)`, a mean over all T positions.
#
# **Predict** `same_over_T`: is the sentence's vector still the same, alone and beside the longer one?

# %%
x = encoder.token_embeddings(beside, beside_mask)  # (B, T, D), before pooling
over_T = x.mean(dim=1).data[0]
same_over_T = bool(np.allclose(over_T, by_itself, atol=1e-5))
cosine = over_T @ by_itself / np.sqrt((over_T @ over_T) * (by_itself @ by_itself))
print(f"Mean over T: changes by {np.abs(over_T - by_itself).max():.2f} at most; cosine to the right one {cosine:.2f}")
assert not same_over_T, "seven of the nine vectors in this mean belong to no word"
assert np.allclose(Pooling("mean")(x, beside_mask).data[0], by_itself, atol=1e-5), "the real tokens' mean is right"

# %% [markdown]
# A common half-repair sets the vectors of the padding to 0, and then takes the mean over T after all.
#
# **Predict** `ratio`: the sentence has 2 tokens, its batch is 9 wide. How long is its vector now, compared with the
# right one?

# %%
half_repaired = (x * beside_mask[:, :, None]).mean(dim=1).data[0]
ratio = float(np.linalg.norm(half_repaired) / np.linalg.norm(by_itself))
print(f"Padding set to 0, divided by T: {ratio:.3f} times the right length")
assert np.isclose(ratio, 2 / 9), "the right sum, divided by 9 in place of 2"

# %% [markdown]
# Its direction is right, its length is not: the vector now tells a head how long the *neighbours* are. `Pooling`
# divides by the number of real tokens.
#
# ## How much of a batch is padding?
#
# With the mask the answer is right, but positions under padding are computed all the same. We cut some 4,000 synthetic
# reviews, in random order, into batches of 32.
#
# **Predict** `at_random`: what share of all positions is padding? (under a tenth / about a third / over a half)

# %%
texts = [text for text in synthetic_reviews(4000)["content"] if isinstance(text, str)]
tokenizer = BPETokenizer.train(texts[:1000], vocab_size=600)
rows, _ = tokenizer.encode_and_cut(texts, 128)  # at most 128 tokens each
rng = np.random.default_rng(0)
order = rng.permutation(len(rows))


def random_batches(size):
    return [pad([rows[i] for i in order[start : start + size]], 0)[1] for start in range(0, len(rows), size)]


def batches_by_length(size, rng=None):
    return [batch.attention_mask for batch in length_batches(rows, {}, batch_size=size, pad_id=0, rng=rng)]


def describe(share):
    return "under a tenth" if share < 0.1 else "over a half" if share > 0.5 else "about a third"


median, share = np.median([len(row) for row in rows]), padding_share(random_batches(32))
at_random = describe(share)
print(f"\nHalf of the reviews have at most {median:.0f} tokens. Batches of 32 in random order: {share:.1%} padding")
assert share > 0.5, "the longest of 32 sets the width for all of them, and one of 32 is usually long"

# %% [markdown]
# `length_batches` sorts by length first, so that a sentence's neighbours are about as long as itself.
#
# **Predict** `by_length`: what share is padding now? (under a tenth / about a third / over a half)

# %%
sorted_share, window_share = padding_share(batches_by_length(32)), padding_share(batches_by_length(32, rng))
by_length = describe(sorted_share)
print(f"Sorted by length: {sorted_share:.1%}. Shuffled, but sorted within windows of 50 batches: {window_share:.1%}")
assert sorted_share < window_share < 0.1, "neighbours of about one length leave little to fill up"

# %% [markdown]
# Sorted batches come in the same order every epoch, short ones first, which is fine for evaluation and poor for
# training. With an `rng`, `length_batches` shuffles all rows, sorts within windows of 50 batches, and shuffles the
# batches: a little more padding, and other neighbours in every epoch.
#
# In the picture, look at the right panel's left end: a single sentence needs no padding, whatever the order. The waste
# in random order grows with the batch.

# %%
figure = Figure(figsize=(11.5, 4.4), layout="constrained")
axes = figure.subplots(1, 3, width_ratios=[1, 1, 1.15])
in_order = batches_by_length(32)
panels = {"32 reviews, random order": random_batches(32)[0], "32 reviews, by length": in_order[len(in_order) // 2]}
for axis, (title, mask) in zip(axes, panels.items(), strict=False):
    lengths, T = mask.sum(axis=1), mask.shape[1]
    axis.barh(range(1, 33), lengths, height=0.75, color="#1f4e79", label="tokens")
    axis.barh(range(1, 33), T - lengths, 0.75, lengths, color="#eee", edgecolor="#999", hatch="////", label="padding")
    axis.set(xlim=(0, 90), ylim=(33, 0), xlabel="position", ylabel="review", yticks=[1, 8, 16, 24, 32])
    axis.set_title(f"{title}: {padding_share([mask]):.0%} padding", fontsize=11)
axes[1].legend(loc="lower right", fontsize=10)
batch_sizes = [1, 2, 4, 8, 16, 32, 64]
lines = {
    "in random order": ("o-", [padding_share(random_batches(size)) for size in batch_sizes]),
    "by length, in shuffled windows": ("s--", [padding_share(batches_by_length(size, rng)) for size in batch_sizes]),
    "by length": ("^:", [padding_share(batches_by_length(size)) for size in batch_sizes]),
}
for label, (style, shares) in lines.items():
    axes[2].plot(batch_sizes, [100 * share for share in shares], style, label=label)
axes[2].set_xscale("log", base=2)
axes[2].set_xticks(batch_sizes, batch_sizes)
axes[2].set(ylim=(-2, 80), xlabel="reviews in a batch", ylabel="% of all positions that are padding")
axes[2].set_title(f"all batches of {len(rows):,} reviews", fontsize=11)
axes[2].grid(alpha=0.25)
axes[2].legend(loc="upper left", fontsize=9)
PICTURE.parent.mkdir(parents=True, exist_ok=True)
figure.savefig(PICTURE, dpi=120)
print(f"Picture: {PICTURE}")

# %% [markdown]
# ## Exercises
#
# In `exercises/09.py`: `mean_pool(x, attention_mask)`, the mean of the real tokens, also for a sample that has none;
# and `length_batches(lengths, batch_size)`, row numbers sorted by length and cut into batches.
#
# You can now read `minitx/data/batches.py`, the only place of the package that pads.
