# %% [markdown]
# # 14. Honest measurement, then speed
#
# *35 minutes. Reads: `minitx/app/study.py`, `minitx/autograd/profiler.py`. Needs: lesson 13.*
#
# A number is worth what stands beside it: a constant, another seed, the rows it has not seen. You meet three figures
# that look good and are not, learn to compare two ways of working so that chance is told from gain, and then measure
# where the time of a training step goes, before anybody speeds up anything.

# %%
import dataclasses
import re
from collections import Counter
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from minitx import AdamW, EncoderConfig, SentenceEncoder, profile
from minitx.app.study import compare
from minitx.data.reviews import label_reviews
from minitx.data.samples import synthetic_reviews
from minitx.data.split import normalise, split
from minitx.training.baseline import BagOfWords

PICTURE = Path("runs/tutorials/14_honest_measurement.png")
reviews, _ = label_reviews(synthetic_reviews(1200))

# %% [markdown]
# ## Beside a constant
#
# A bag of words predicts whether other people will find a review helpful: low, moderate or high engagement. Three
# classes, so guessing gives a third.
#
# **Predict** `constant > 0.8`: would a head that reads nothing and always gives the same answer have an accuracy above
# 0.8?

# %%
parts = split(reviews, seed=0)
report = BagOfWords.fit(parts.train).evaluate(parts.test)["engagement"]
constant = report.majority
print(f"Rows of {', '.join(report.classes)}: {report.support.tolist()}")
print(f"Accuracy: bag of words {report.accuracy:.3f}, the largest class {constant:.3f}")
print(f"Macro-F1: bag of words {report.macro_f1:.3f}, the largest class {report.majority_macro_f1:.3f}")
assert constant > 0.8, "most reviews are hardly ever found helpful"
assert report.accuracy - constant < 0.1 < report.macro_f1 - report.majority_macro_f1, "accuracy hides the difference"

# %% [markdown]
# Accuracy says little where one class is large. Macro-F1, the mean over the classes, shows that something was learned.
#
# ## Is a point real?
#
# Somebody removes all punctuation before training. We run both ways with six seeds. A seed decides the split, so the
# two ways share it, and what it does to both cancels in their *difference*. `compare` gives the mean difference and its
# 95 % interval: mean ± t s / √n. Only an interval without 0 gets a verdict.
#
# First look at the best seed alone, as an author in love would report it.


# %%
def without_punctuation(part):
    return dataclasses.replace(part, texts=[re.sub(r"[^\w\s]", " ", text) for text in part.texts])


def accuracy(train, test):
    return BagOfWords.fit(train).evaluate(test)["sentiment"].accuracy


def as_written(seed):
    parts = split(reviews, seed=seed)
    return accuracy(parts.train, parts.test)


def stripped(seed):
    parts = split(reviews, seed=seed)
    return accuracy(without_punctuation(parts.train), without_punctuation(parts.test))


SEEDS = range(6)
tweak = compare(as_written, stripped, SEEDS, progress=False)
gains = tweak.values["b"]["score"] - tweak.values["a"]["score"]
print(f"Best seed: {gains.max():+.3f}. Mean of six: {gains.mean():+.3f}")
assert gains.max() > 2 * gains.mean() > 0, "the best of six is not what to expect of a seventh"

# %% [markdown]
# **Predict** `tweak.difference("b", "score").verdict`: what does the interval over six seeds say of accuracy without
# punctuation? (lower / no verdict / higher)

# %%
interval = tweak.difference("b", "score")
print(tweak)
print("Seed by seed:", " ".join(f"{gain:+.3f}" for gain in gains))
assert interval.low < 0 < interval.high, "the seeds do not agree"

# %% [markdown]
# No verdict is not "no effect": it may well help, or harm a little. To know, add seeds; do not choose among them.
#
# ## Beside rows it has seen
#
# In a real export one review in five is a copy of another. We add such copies and split at random, so that some test
# rows have their copy among the training rows. The other arm has the same test rows and as many training rows, but none
# that shares its text with a test row: what `split` sees to.
#
# **Predict** `promise`: how many points of accuracy does the random split promise too much? (none / one or two / three
# or more)

# %%
rng = np.random.default_rng(0)
copied = reviews.subset(np.concatenate([np.arange(len(reviews)), rng.integers(len(reviews), size=len(reviews) // 4)]))


def random_split(seed, leaks):
    test, train = np.split(np.random.default_rng(seed).permutation(len(copied)), [len(copied) // 5])
    in_test = {normalise(copied.texts[row]) for row in test}
    known = np.array([normalise(copied.texts[row]) in in_test for row in train])
    clean = train[~known]
    train = np.concatenate([train[known], clean[known.sum() :]]) if leaks else clean  # as many rows in both arms
    return accuracy(copied.subset(train), copied.subset(test))


leak = compare(lambda seed: random_split(seed, False), lambda seed: random_split(seed, True), SEEDS, progress=False)
points = 100 * leak.difference("b", "score").mean
promise = "none" if points < 0.5 else "one or two" if points < 2.5 else "three or more"
print(leak)
assert promise == "three or more", "a copy in the training rows is an answer known by heart"
assert leak.difference("b", "score").verdict == "higher", "and all seeds agree"

# %% [markdown]
# The model is the same, and so are the test rows. It remembers, and that is not what we meant to measure. Real
# copies are shorter, "good" again and again, and give away less.
#
# ## Where does the time go?
#
# Now speed, with the same rule: measure first. `profile` adds up the seconds of every op, forward and backward. A small
# encoder takes some training steps, on 128 texts of 16 tokens each.
#
# **Predict** `slowest[16]`: which op takes most of the time? (attention / linear / add_layer_norm / AdamW.step)


# %%
def seconds_by_op(T, tokens=2048, steps=5):
    sizes = {"hidden_size": 64, "num_layers": 2, "num_heads": 4, "intermediate_size": 256, "max_length": 512}
    encoder = SentenceEncoder(EncoderConfig(4000, 0, **sizes), rng=np.random.default_rng(0))
    optimizer = AdamW(encoder.parameters(), lr=1e-3)
    ids = np.random.default_rng(1).integers(1, 4000, (tokens // T, T))
    with profile() as measured:
        for _ in range(steps):
            optimizer.zero_grad()
            encoder(ids, np.ones(ids.shape, bool)).sum().backward()
            optimizer.step()
    seconds = Counter()
    for row in measured.rows.values():
        seconds[row.name.removesuffix(" backward")] += row.seconds
    return seconds


times = {16: seconds_by_op(16)}
slowest = {16: times[16].most_common(1)[0][0]}
print("T = 16:", ", ".join(f"{op} {s / times[16].total():.0%}" for op, s in times[16].most_common(4)))
assert slowest[16] == "linear", "for short texts the products with weights are nearly all the work"

# %% [markdown]
# Now as many tokens, 2,048, but in four texts of 512. A linear layer does the same work for each token, wherever it
# stands.
#
# **Predict** `slowest[512]`: which op takes most now? (attention / linear / add_layer_norm / AdamW.step)

# %%
times[512] = seconds_by_op(512)
slowest[512] = times[512].most_common(1)[0][0]
print("T = 512:", ", ".join(f"{op} {s / times[512].total():.0%}" for op, s in times[512].most_common(4)))
assert slowest[512] == "attention", "each token looks at T others: T times T scores in each text"

# %% [markdown]
# What is worth speeding up depends on how long the texts are *beside how wide the model is*: this one is 64 wide. At
# the width of BERT, 768, the linear layers lead at 512, too; try it.

# %%
figure = Figure(figsize=(10, 3.4), layout="constrained")
left, right = figure.subplots(1, 2)
names = "no punctuation\nminus as written", "random split\nminus leak-free"
for y, result in enumerate((tweak, leak)):
    mean, low, high, _ = result.difference("b", "score")
    left.plot([low, high], [y, y], color="black", linewidth=2)
    left.plot(mean, y, "o", color="black", markersize=8)
    left.plot(result.values["b"]["score"] - result.values["a"]["score"], np.full(6, y + 0.2), "|", color="grey")
left.axvline(0, color="black", linestyle=":")
left.set_yticks((0, 1), names)
left.set(
    title="Difference of accuracy, 95 % interval", ylim=(1.6, -0.5), xlabel="share of test rows; a mark for each seed"
)
start, ops = dict.fromkeys(times, 0.0), [op for op, _ in times[512].most_common(3)]
for op, grey, hatch in zip([*ops, "the rest"], ("0.35", "0.6", "0.8", "1"), ("", "//", "..", ""), strict=True):
    for T, seconds in times.items():
        share = (seconds[op] if op in ops else seconds.total() - sum(map(seconds.get, ops))) / seconds.total()
        bar = {"color": grey, "edgecolor": "black", "hatch": hatch, "label": op if T == 16 else None}
        right.barh(f"T = {T}", share, left=start[T], **bar)
        start[T] += share
right.invert_yaxis()
right.set(title="Time of a training step by op", xlabel="share, forward and backward", xlim=(0, 1))
right.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=4, fontsize=8, frameon=False)
PICTURE.parent.mkdir(parents=True, exist_ok=True)
figure.savefig(PICTURE, dpi=120)
print(f"Picture: {PICTURE}")

# %% [markdown]
# ## Exercises
#
# `leak_free_split(texts, ids, test_fraction, rng)`: a split that keeps together what belongs together.
# `paired_interval(a, b, t)`: the interval behind every verdict above.
# `attention_in_blocks(q, k, v, block)`: the op that is slow on long texts, a few samples at a time, so that the scores
# fit in the cache; same numbers, same gradients.
#
# Then run `tutorials/capstone.py` on a CSV of your own: it asks for all of this, and for one op that you have written.
# You can now read `minitx/evaluation/statistics.py`, and the fused attention in `minitx/autograd/functional.py`.
