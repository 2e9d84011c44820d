# %% [markdown]
# # 11. Freezing, and what it protects
#
# *35 minutes. Reads: `minitx/training/freezing.py`, `minitx/training/groups.py`. Needs: lessons 04 and 10.*
#
# A frozen part does not learn. "Freeze the head of a finished task, and the task is not forgotten", several write-ups
# say. Afterwards you can freeze a part so that not one bit of it moves, and say what that protects, and what it does
# not.

# %%
import copy
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from threadpoolctl import threadpool_limits

from minitx import AdamW, BPETokenizer, EncoderConfig, MultiTaskModel, SentenceEncoder, Tensor, clip_grad_norm_
from minitx.data.batches import length_batches, pad
from minitx.data.reviews import label_reviews
from minitx.data.samples import synthetic_reviews
from minitx.data.split import split
from minitx.evaluation.statistics import mean_interval
from minitx.training.freezing import freeze

PICTURE = Path("runs/tutorials/11_freezing.png")
SEEDS, BOTH, RATE = range(4), ("sentiment", "engagement"), 5e-3
threadpool_limits(1)  # matrices as small as these are not worth sharing between threads

parts = split(label_reviews(synthetic_reviews(2000))[0], fractions=(0.6, 0.3, 0.1))
tokenizer = BPETokenizer.train(parts.train.texts, vocab_size=600)
train, validation = (tokenizer.encode_and_cut(part.texts, 24)[0] for part in parts[:2])
held_out, answers = pad(validation, tokenizer.pad_id), parts.validation.labels["sentiment"]
sizes = {"hidden_size": 24, "intermediate_size": 48, "num_layers": 1, "max_length": 24, "activation": "relu"}


def new_model(seed):
    rng = np.random.default_rng(seed)
    encoder = SentenceEncoder(EncoderConfig(tokenizer.vocab_size, tokenizer.pad_id, **sizes), tokenizer, rng=rng)
    return MultiTaskModel(encoder, parts.train.classes, rng=rng)


def train_on(model, optimizer, tasks, rng, epochs=1):  # the loop of lesson 10; the loss is the sum over `tasks`
    model.train()
    for _ in range(epochs):
        for batch in length_batches(train, parts.train.labels, batch_size=32, pad_id=tokenizer.pad_id, rng=rng):
            losses = model.losses(model(batch.ids, batch.attention_mask), batch.labels)
            optimizer.zero_grad()
            sum((losses[task] for task in tasks), start=Tensor(0.0)).backward()
            clip_grad_norm_(model.parameters(), max_norm=1.0)
            optimizer.step()


def accuracy(model):  # of sentiment, on the validation rows
    return float(np.mean(model.eval()(*held_out)["sentiment"].data.argmax(axis=1) == answers))


def bits(model):
    return {name: weights.tobytes() for name, weights in model.state_dict().items()}


# A model and its optimizer for each seed: other first weights, and another order of rows.
trained = [(model, AdamW(model.parameters(), lr=RATE)) for model in map(new_model, SEEDS)]
for seed, (model, optimizer) in enumerate(trained):
    train_on(model, optimizer, BOTH, np.random.default_rng(seed), epochs=6)
before = [accuracy(model) for model, _ in trained]
largest = parts.validation.class_counts("sentiment").max() / len(answers)
print("sentiment accuracy of the seeds:", *(f"{value:.3f}" for value in before), f"(largest class {largest:.3f})")
assert min(before) > largest + 0.1, "these models have something to forget"

# %% [markdown]
# ## How to stop a part from learning
#
# Four models were trained on both tasks; only their seeds differ. To stop the first one's encoder from learning, we set
# all gradients to zero, and let the optimizer take one more step.
#
# **Predict** `moved`: does any weight of the encoder move?

# %%
model, optimizer = copy.deepcopy(trained[0])  # together: the copied optimizer holds the copied weights
for p in model.parameters():
    p.grad = np.zeros_like(p.data)
optimizer.step()
moved = bits(model.encoder) != bits(trained[0][0].encoder)
print(f"\nAll gradients 0, one step: the encoder moves: {moved}")
assert moved, "Adam's running mean of past gradients is not 0, and weight decay needs no gradient"

# %% [markdown]
# Zero is not frozen. Instead, `freeze(model, "backbone")` sets `requires_grad = False` on every parameter of the
# encoder. Now one epoch on both tasks, with the same optimizer and all it remembers.
#
# **Predict** `len(changed)`: how many of the encoder's arrays will have changed, by as little as one bit?

# %%
model, optimizer = copy.deepcopy(trained[0])
freeze(model, "backbone")
train_on(model, optimizer, BOTH, np.random.default_rng(9))
old, now = bits(trained[0][0].encoder), bits(model.encoder)
changed = [name for name in now if now[name] != old[name]]
print(f"Encoder frozen, one epoch: {len(changed)} of its {len(old)} arrays changed")
assert not changed, "frozen means identical to the last bit: the optimizer passes over it, decay and momentum included"
assert bits(model) != bits(trained[0][0]), "while the heads went on learning"

# %% [markdown]
# ## New heads on a frozen encoder
#
# A frozen encoder is of use if new heads can learn to read it. Reports often show such a model with heads that are
# *not* trained, and call the result chance. We put ten new sentiment heads, one after another, on the frozen encoder,
# and do not train them.
#
# **Predict** `gap > 0.25`: is the luckiest accuracy more than 0.25 above the unluckiest?

# %%
untrained = []
for seed in range(10):
    model.heads = new_model(100 + seed).heads
    untrained.append(accuracy(model))
gap = max(untrained) - min(untrained)
train_on(model, AdamW(model.parameters(), lr=RATE), BOTH, np.random.default_rng(9), epochs=3)
print("\nTen new heads on the frozen encoder:", *(f"{value:.2f}" for value in untrained))
print(f"The last of them, trained for three epochs: {accuracy(model):.3f}; the head it replaced: {before[0]:.3f}")
assert gap > 0.25, "a random head is no fair die"
assert accuracy(model) > before[0] - 0.06, "what there was to know is in the encoder"

# %% [markdown]
# A random head does not roll a die for each review. It cuts the space of vectors in some direction, and similar reviews
# fall on the same side together, most of them right or most of them wrong. One untrained head says nothing; a trained
# one, a *linear probe*, says what the encoder knows.
#
# ## Does a frozen head protect its task?
#
# Sentiment is done. Each of the four models now goes on for four epochs, its sentiment head frozen: once with the loss
# of both tasks (*rehearsal*), once on engagement alone. What counts is sentiment accuracy, after minus before: its mean
# over the seeds, and the 95 % interval. An interval that contains 0 gets no verdict.
#
# **Predict** `interval.verdict`: on engagement alone, sentiment becomes ... (lower / no verdict / higher)


# %%
def go_on(seed, tasks, frozen):  # returns sentiment accuracy before and after each of four more epochs, and the weights
    model, rng, curve = copy.deepcopy(trained[seed][0]), np.random.default_rng(20 + seed), [before[seed]]
    freeze(model, frozen)
    optimizer = AdamW(model.parameters(), lr=RATE)
    for _ in range(4):
        train_on(model, optimizer, tasks, rng)
        curve.append(accuracy(model))
    return curve, bits(model)


rehearsed = [go_on(seed, BOTH, "sentiment") for seed in SEEDS]
alone = [go_on(seed, ["engagement"], "sentiment") for seed in SEEDS]
print("\nSentiment head frozen, four more epochs: mean change of sentiment accuracy, 95 % interval")
for label, runs in {"both tasks": rehearsed, "engagement alone": alone}.items():
    interval = mean_interval([curve[-1] - curve[0] for curve, _ in runs])
    print(f"  {label:17} {interval.mean:+.3f} ({interval.low:+.3f} to {interval.high:+.3f}): {interval.verdict}")
    assert (interval.mean < -0.03) == (runs is alone), "the head is the same; without its data it forgets"

# %% [markdown]
# Does freezing the head at least help a little? We repeat the first model's run on engagement alone, with the same
# order of rows and nothing frozen.
#
# **Predict** `identical`: are the models of the two runs, head frozen and nothing frozen, identical to the last bit?

# %%
nothing_frozen = go_on(0, ["engagement"], [])
identical = nothing_frozen[1] == alone[0][1]
print(f"\nHead frozen and nothing frozen: models identical to the last bit: {identical}")
assert identical, "engagement's loss does not depend on the sentiment head: its gradient is None, frozen or not"

# %% [markdown]
# A head is a reader of the encoder's vectors. Freezing the reader does not keep the writer from changing the language.
# So freeze the writer, and train on engagement alone.
#
# **Predict** `largest_change`: by how much does sentiment accuracy change, at most, in the four epochs?

# %%
encoder_frozen = go_on(0, ["engagement"], "backbone")
largest_change = max(encoder_frozen[0]) - min(encoder_frozen[0])
print(f"Encoder frozen: sentiment accuracy changes by {largest_change:.3f}")
assert largest_change == 0, "neither the vectors nor their reader moved"

# %% [markdown]
# "Identical" needs one seed. "How much is forgotten" needs several, and depends on rate and time: on real reviews
# `docs/studies.md` has no verdict.
#
# ## The optimizer of another model
#
# A notebook builds a model, then an optimizer. Later the cell of the model is run once more, the other one is not.
#
# **Predict** `unchanged`: we train for an epoch. Does every weight of the model stay as it was?

# %%
optimizer = AdamW(new_model(0).parameters(), lr=RATE)
model = new_model(0)
train_on(model, optimizer, BOTH, np.random.default_rng(0))
unchanged = bits(model) == bits(new_model(0))
print(f"\nAn epoch with the old optimizer leaves the model unchanged: {unchanged}")
try:
    optimizer.check(model)
except ValueError as error:
    print("optimizer.check(model):", error)
assert unchanged, "the optimizer holds the weights of the model that is gone"

# %% [markdown]
# A model frozen by accident, without a word of warning: so call `check`.

# %%
axes = Figure(figsize=(9.5, 5), layout="constrained").add_subplot()
for label, runs, style, width in (
    ("both tasks, sentiment head frozen: four seeds", rehearsed, "C2s-", 1.2),
    ("engagement only, encoder frozen: one seed", [encoder_frozen], "k^:", 1.8),
    ("engagement only, sentiment head frozen: four seeds", alone, "C0o-", 1.2),
    ("engagement only, nothing frozen: one seed", [nothing_frozen], "C1x--", 2.2),
):
    curves, labels = 100 * np.array([curve for curve, _ in runs]), [label, "_", "_", "_"]
    axes.plot(curves.T, style, linewidth=width, markersize=9, markerfacecolor="none", label=labels[: len(runs)])
axes.text(4.07, curves[0, -1], "head frozen, nothing frozen:\nthe same to the last bit", va="center")
axes.set(xticks=range(5), xlim=(-0.1, 5.35), ylim=(58, 85), xlabel="epochs of further training")
axes.set(ylabel="sentiment accuracy, %", title="Freezing the head of a task does not protect it (synthetic reviews)")
axes.legend(loc="lower left")
PICTURE.parent.mkdir(parents=True, exist_ok=True)
axes.figure.savefig(PICTURE, dpi=120)
print(f"Picture: {PICTURE}")

# %% [markdown]
# ## Exercises
#
# In `exercises/11.py`: `linear_probe_parameters(names, heads)`, which parameters train when only some heads do; and
# `rehearsal_batches(new, old, share, rng)`, which adds rows of an old task to the batches of a new one.
#
# You can now read `minitx/training/freezing.py`.
