# %% [markdown]
# # 13. Pairs, search, and what a batch asks
#
# *30 minutes. Reads: `minitx/training/contrastive.py`, `minitx/models/search.py`. Needs: lesson 12.*
#
# Pairs of texts that belong together teach an encoder which *sentences* are near. Nobody labels a wrong answer: the
# other answers of the batch are the wrong ones. So an encoder learns what its batches ask, and no more. Afterwards you
# can say where this loss starts, what keeps it up, and why a low one may mean little.

# %%
import math
import tempfile
from itertools import combinations
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from minitx import AdamW, BPETokenizer, EncoderConfig, SentenceEncoder, Tensor
from minitx.data.batches import pad
from minitx.models.search import semantic_search
from minitx.training.contrastive import fit_pairs, multiple_negatives_ranking_loss

PICTURE = Path("runs/tutorials/13_pairs_and_search.png")

# %% [markdown]
# ## Where the loss starts
#
# `multiple_negatives_ranking_loss` takes B questions and B answers, and asks of each question: which answer is yours?
# That is a cross-entropy over B cosines, times a scale.
#
# **Predict** `blind`: what is the loss of 16 pairs if the encoder gives every sentence the same vector?

# %%
B = 16
alike = Tensor(np.ones((B, 8)))
blind = multiple_negatives_ranking_loss(alike, alike, scale=20).item()
print(f"{B} pairs, all vectors the same: {blind:.3f}")
assert math.isclose(blind, math.log(B)), "B equal logits: every answer has the probability 1 / B"

# %% [markdown]
# That is ln B, the loss of an encoder that knows nothing. A larger batch asks a harder question.
#
# ## What the scale is for
#
# Now a perfect encoder: question and answer have a cosine of 1, and the 16 pairs are as far from each other as 16
# vectors can be. A scale of 1 leaves the cosines as they are.
#
# **Predict** `perfect[1] < 1`: is the loss of this perfect encoder below 1 at scale 1?

# %%
apart = np.eye(B) - 1 / B  # the corners of a regular simplex: every cosine is -1 / (B - 1)
perfect = {scale: multiple_negatives_ranking_loss(Tensor(apart), Tensor(apart), scale).item() for scale in (1, 20)}
floor = math.log(1 + (B - 1) * math.exp(-B / (B - 1)))
print(f"Perfect vectors: {perfect[1]:.3f} at scale 1, {perfect[20]:.1e} at scale 20")
assert math.isclose(perfect[1], floor), "15 wrong answers at cosine -1/15 outweigh one right answer at cosine 1"
assert perfect[20] < 1e-6, "twenty times the cosine is enough to be sure"

# %% [markdown]
# A softmax needs logits that differ by more than cosines can. The scale spreads them.
#
# ## False negatives
#
# Suppose that two pairs of the batch say the same, and so for all: 16 pairs, but only eight meanings. The encoder is
# still perfect, the scale 20.
#
# **Predict** `twins`: how low is the loss now?

# %%
meaning = np.repeat(np.eye(B // 2) - 2 / B, 2, axis=0)  # rows 0 and 1 are equal, 2 and 3, and so on
twins = multiple_negatives_ranking_loss(Tensor(meaning), Tensor(meaning), scale=20).item()
print(f"Every meaning twice: {twins:.3f}")
assert math.isclose(twins, math.log(2), rel_tol=1e-6), "two answers are right, one counts as wrong: a coin is tossed"

# %% [markdown]
# ln 2, as long as equal meanings have equal vectors: to get lower, training must tear them apart. `pair_batches` keeps
# the same *text* out of a batch; two wordings of one thing it cannot know. An exercise mends that.
#
# ## An encoder from pairs
#
# Question "the menu hides the caption", answer "subtitle text is covered up by film list": no word in common, and the
# order is turned round. A meaning and its reverse stay on one side of the split; the tokenizer sees the training
# sentences only. We train, save, load again, and search among all answers, known and new.
#
# **Predict** `usual`: when a new question finds a wrong answer first, what is usually wrong with it?
# (a thing / the verb / the order)

# %%
THINGS = {"player": "video app", "picture": "screen", "bill": "monthly price", "caption": "subtitle text"}
THINGS |= {"menu": "film list", "sign-in": "login page", "trailer": "short preview", "advert": "commercial"}
VERBS = {"hides": "covered up", "stops": "halted", "slows down": "made sluggish", "closes": "shut"}


def say(a, verb, b):
    return f"the {a} {verb} the {b}", f"{THINGS[b]} is {VERBS[verb]} by {THINGS[a]}"


both_ways = [((a, verb, b), (b, verb, a)) for a, b in combinations(THINGS, 2) for verb in VERBS]
order = np.random.default_rng(0).permutation(len(both_ways))
meanings = [meaning for i in order for meaning in both_ways[i]]  # row i and row i ^ 1 are each other's reverse
pairs = [say(*meaning) for meaning in meanings]
train, new = pairs[:80], range(80, len(pairs))
answers = [answer for _, answer in pairs]

tokenizer = BPETokenizer.train([text for pair in train for text in pair], vocab_size=420)
sizes = {"hidden_size": 48, "num_layers": 1, "num_heads": 4, "intermediate_size": 96, "max_length": 32}
config = EncoderConfig(tokenizer.vocab_size, tokenizer.pad_id, **sizes)
fresh = SentenceEncoder(config, tokenizer, rng=np.random.default_rng(0))
rng = np.random.default_rng(1)
losses = fit_pairs(fresh, train, AdamW(fresh.parameters(), lr=3e-3), epochs=20, batch_size=B, rng=rng, progress=False)
folder = tempfile.TemporaryDirectory()
fresh.save_pretrained(Path(folder.name) / "encoder")


def pretrained():
    return SentenceEncoder.from_pretrained(Path(folder.name) / "encoder")


def first_hits(encoder):
    hits = semantic_search(encoder.encode([pairs[i][0] for i in new]), encoder.encode(answers), top_k=1)
    return np.array([row[0]["corpus_id"] for row in hits])


encoder = pretrained()
found = first_hits(encoder)
wrong = {"the order": 0, "the verb": 0, "a thing": 0}
for i, hit in zip(new, found, strict=True):
    if hit != i:
        same_things = set(meanings[hit][::2]) == set(meanings[i][::2])
        wrong["a thing" if not same_things else "the order" if hit == i ^ 1 else "the verb"] += 1
right = np.mean(found == new)
usual = max(wrong, key=wrong.get)
print(f"Loss: {losses[0]:.2f} in the first epoch, {losses[-1]:.2f} in the last")
print(f"Right at once: {right:.2f} of {len(new)} new questions, by chance {1 / len(answers):.3f}; wrong: {wrong}")
assert losses[-1] < 0.3 < right, "the loss is nearly gone, and the encoder finds much"
assert usual == "the order", "a batch seldom holds the reverse, so it is seldom asked for"

# %% [markdown]
# The verbs and the things are learned first. Who does what to whom is seldom asked, so it comes late; the loss does not
# tell.
#
# ## Asking for it
#
# A *hard negative* is a wrong answer chosen because it is tempting. `candidates` may hold more rows than `anchors`: we
# add the reversed answers. Two encoders start from the saved one and train for ten more epochs, one with hard
# negatives, one without.
#
# **Predict** `change`: with hard negatives, the share that is right at once is (smaller / the same / larger) than
# without?


# %%
def train_on(encoder, hard_negatives):
    optimizer, rng = AdamW(encoder.parameters(), lr=1e-3), np.random.default_rng(2)
    encoder.train()
    for batch in (batch for _ in range(10) for batch in rng.permutation(len(train)).reshape(-1, B)):
        answered = [*batch, *(batch ^ 1)] if hard_negatives else batch
        sides = [pairs[i][0] for i in batch], [answers[i] for i in answered]
        optimizer.zero_grad()
        vectors = [encoder(*pad(encoder.tokenize(side), config.pad_id)) for side in sides]
        multiple_negatives_ranking_loss(*vectors).backward()
        optimizer.step()
    return encoder.eval()


plain, asked = train_on(pretrained(), False), train_on(pretrained(), True)
shares = [float(np.mean(first_hits(encoder) == new)) for encoder in (plain, asked)]
change = ["smaller", "the same", "larger"][int(np.sign(shares[1] - shares[0])) + 1]
print(f"Right at once after ten more epochs: {shares[0]:.2f} as before, {shares[1]:.2f} with hard negatives")
assert change == "larger", "the question that was missing has been asked"

# %% [markdown]
# One seed: a story, not yet a measurement. Lesson 14 is about the difference.
#
# ## A map
#
# Eight sentences, in the two directions in which they differ most (principal components), after subtracting what all
# questions share, and all answers. A line joins a question with its answer.

# %%
shown = [say(*way) for verb in ("hides", "stops") for way in (("menu", verb, "caption"), ("caption", verb, "menu"))]
figure = Figure(figsize=(9, 7), layout="constrained")
encoders = {"as saved": pretrained(), "ten epochs later, with hard negatives": asked}
for axes, (title, encoder) in zip(figure.subplots(2, 1), encoders.items(), strict=True):
    x = np.stack([encoder.encode(side, normalize_embeddings=True) for side in zip(*shown, strict=True)])  # (2, 4, D)
    x -= x.mean(axis=1, keepdims=True)
    x = x @ np.linalg.svd(x.reshape(8, -1))[2][:2].T  # (2, 4, 2)
    axes.plot(*x.transpose(2, 0, 1), color="grey", linewidth=2.5, alpha=0.5)
    for points, marker, fill, label in zip(x, "os", ("full", "none"), ("question", "answer"), strict=True):
        axes.plot(*points.T, marker, color="black", fillstyle=fill, label=label)
    texts, x = [text for side in zip(*shown, strict=True) for text in side], x.reshape(8, 2)
    for half, place in ((x[:, 0] < 0, "left"), (x[:, 0] >= 0, "right")):
        rows = np.flatnonzero(half)[np.argsort(x[half, 1])]
        lines = {"arrowstyle": "-", "linestyle": ":", "relpos": (float(place == "left"), 0.5)}
        for row, height in zip(rows, np.linspace(0.1, 0.84, len(rows)), strict=True):
            where = (0.02 if place == "left" else 0.98, height)
            axes.annotate(texts[row], x[row], where, textcoords="axes fraction", ha=place, arrowprops=lines)
    axes.set(title=f"Map of sentences, {title}", xlabel="first principal component", ylabel="second", xlim=(-2, 2))
    axes.legend(loc="center")
PICTURE.parent.mkdir(parents=True, exist_ok=True)
figure.savefig(PICTURE, dpi=120)
print(f"Picture: {PICTURE}")
between = []
for encoder in (pretrained(), plain, asked):
    x = encoder.encode([pairs[i][0] for i in new], normalize_embeddings=True)
    between.append(np.linalg.norm(x[::2] - x[1::2], axis=1).mean())
distances = "{:.2f} as saved, {:.2f} ten epochs later, {:.2f} with hard negatives".format(*between)
print(f"Mean distance between a new question and its reverse: {distances}")
assert between[0] < between[1] < between[2], "opposite questions move apart, and further if that is asked"
folder.cleanup()

# %% [markdown]
# Above, opposite questions share a spot between their answers; below, each has moved towards its own.
#
# ## Exercises
#
# `mean_reciprocal_rank(cosines, answers)`: how far down a list stands the right answer? The usual measure of a search.
# `in_batch_loss(a, b, scale, same)`: the loss of this lesson without the false negatives you know of.
#
# You can now read `minitx/training/contrastive.py` from top to bottom, and `minitx/models/search.py`.
