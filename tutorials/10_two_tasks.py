# %% [markdown]
# # 10. Two tasks, one encoder
#
# *30 minutes. Reads: `minitx/models/multitask.py`, `minitx/models/task_weights.py`. Needs: lessons 04, 08 and 09.*
#
# One encoder turns a review into a vector; two heads read it and answer two questions. Training adds up two losses, so
# the encoder is pulled twice at every step. Afterwards you can write that loop, leave out labels that are missing, and
# measure whether the two pulls agree.

# %%
import math
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from threadpoolctl import threadpool_limits

from minitx import AdamW, BPETokenizer, EncoderConfig, MultiTaskModel, SentenceEncoder, clip_grad_norm_
from minitx.data.batches import length_batches, pad
from minitx.data.reviews import label_reviews
from minitx.data.samples import synthetic_reviews
from minitx.data.split import split
from minitx.learn.plain import log_softmax

PICTURE = Path("runs/tutorials/10_two_tasks.png")
EPOCHS = 6
threadpool_limits(1)  # matrices as small as these are not worth sharing between threads

# %% [markdown]
# ## Two questions about one text
#
# Each synthetic review has two labels of three classes: *sentiment*, from its stars, and *engagement*, from its
# thumbs-up. The tokenizer learns from the training rows only; the validation rows judge.
#
# A head's loss is the mean of -ln(the probability it gave to the right class); the model's loss is the sum over its
# heads. New heads start with weights near 0.
#
# **Predict** `loss.item()`: nothing has been learnt, so all three classes look equally likely. What is the first loss?

# %%
data, _ = label_reviews(synthetic_reviews(2000))
parts = split(data, fractions=(0.6, 0.3, 0.1))
tokenizer = BPETokenizer.train(parts.train.texts, vocab_size=600)
train, _ = tokenizer.encode_and_cut(parts.train.texts, 32)  # a long review loses its end, which will do here
validation, _ = tokenizer.encode_and_cut(parts.validation.texts, 32)
sizes = {"hidden_size": 32, "intermediate_size": 64, "num_layers": 1, "num_heads": 4, "max_length": 32}
rng = np.random.default_rng(0)
encoder = SentenceEncoder(EncoderConfig(tokenizer.vocab_size, tokenizer.pad_id, **sizes), tokenizer, rng=rng)
model = MultiTaskModel(encoder, data.classes, rng=rng).eval()  # no dropout until training starts


def batches(rng):
    return length_batches(train, parts.train.labels, batch_size=32, pad_id=tokenizer.pad_id, rng=rng)


batch = next(batches(np.random.default_rng(0)))
losses = model.losses(model(batch.ids, batch.attention_mask), batch.labels)
loss = losses["sentiment"] + losses["engagement"]
print(f"{len(train):,} reviews to train on, {len(validation)} to validate")
print("classes:", data.classes)
print(f"first loss {loss.item():.3f}; ln 3 + ln 3 = {2 * math.log(3):.3f}")
assert abs(loss.item() - 2 * math.log(3)) < 0.05, "-ln(1/3) for each head; a first loss far from that is a bug"

# %% [markdown]
# ## A label that is missing
#
# Few data sets have every label for every row. Here -100 means "no label for this task", as in torch. Suppose one more
# review joins the batch, and has -100 for both tasks.
#
# **Predict** `changed`: does the loss change?

# %%
rows = [*(train[row] for row in batch.rows), train[0]]
one_more = pad(rows, tokenizer.pad_id)
unlabelled = {head: np.append(labels, -100) for head, labels in batch.labels.items()}
with_one_more = sum(model.losses(model(*one_more), unlabelled).values()).item()
changed = not math.isclose(with_one_more, loss.item(), rel_tol=1e-5)
print(f"\n{len(batch)} labelled rows: {loss.item():.6f}; and one more without a label: {with_one_more:.6f}")
assert not changed, "a row without a label is in neither the sum nor the number that the sum is divided by"

# %% [markdown]
# Both halves of that sentence matter. Say half of the rows have no engagement label, and somebody drops them from the
# sum of the losses, but still divides by all rows, labelled or not.
#
# **Predict** `ratio`: how large is that engagement loss, compared with the right one?

# %%
half = {**batch.labels, "engagement": np.where(np.arange(32) % 2, -100, batch.labels["engagement"])}
logits = model(batch.ids, batch.attention_mask)
right = model.losses(logits, half)["engagement"].item()
labelled = np.flatnonzero(half["engagement"] != -100)
row_losses = -log_softmax(logits["engagement"]).data[labelled, half["engagement"][labelled]]
ratio = float(row_losses.sum() / len(batch) / right)
print(f"Engagement loss, 16 of 32 rows labelled: {right:.3f}; divided by all rows, {ratio:.3f} of it")
assert math.isclose(ratio, 0.5, rel_tol=1e-3), "16 losses divided by 32"

# %% [markdown]
# The task with fewer labels would quietly count less. To make one count less on purpose there are weights:
# `TaskWeights` multiplies each loss by a factor, given or learned.
#
# ## The loop, and two gradients
#
# Below is all of training. Before each step we also ask what each task alone would do to the encoder: the cosine
# between the two gradients is 1 if they want the same, -1 if they want the opposite, and 0 if neither cares what the
# other does.
#
# **Predict** `later`: what is its mean over the last three of six epochs? (below -0.3 / from -0.3 to 0.3 / above 0.3)


# %%
def encoder_gradient(batch, task):
    """The gradient of one task's loss by all weights of the encoder, as one long vector; without dropout."""
    model.eval().zero_grad()
    model.losses(model(batch.ids, batch.attention_mask), batch.labels)[task].backward()
    return np.concatenate([np.asarray(p.grad).ravel() for p in model.encoder.parameters()])


def cosine(a, b):
    return float(a @ b / math.sqrt((a @ a) * (b @ b)))


optimizer = AdamW(model.parameters(), lr=3e-3)
rng = np.random.default_rng(1)
between_tasks, within_a_task, previous = [], [], batch
held_out = pad(validation, tokenizer.pad_id)
print("\nepoch  loss on the validation rows: sentiment, engagement   cosine, mean over the epoch")
for epoch in range(1, EPOCHS + 1):
    for batch in batches(rng):
        sentiment = encoder_gradient(batch, "sentiment")
        between_tasks.append(cosine(sentiment, encoder_gradient(batch, "engagement")))
        within_a_task.append(cosine(sentiment, encoder_gradient(previous, "sentiment")))
        previous = batch

        model.train()  # from here to step(): training
        losses = model.losses(model(batch.ids, batch.attention_mask), batch.labels)
        optimizer.zero_grad()
        (losses["sentiment"] + losses["engagement"]).backward()
        clip_grad_norm_(model.parameters(), max_norm=1.0)
        optimizer.step()
    steps = len(between_tasks) // epoch
    judged = model.eval().losses(model(*held_out), parts.validation.labels)
    print(f"{epoch:5}  {judged['sentiment'].item():38.3f}, {judged['engagement'].item():10.3f}", end="")
    print(f"   {np.mean(between_tasks[-steps:]):10.2f}")
mean = np.mean(between_tasks[-3 * steps :])
later = "below -0.3" if mean < -0.3 else "above 0.3" if mean > 0.3 else "from -0.3 to 0.3"
print(f"mean over the last three epochs: {mean:.2f}")
assert abs(mean) < 0.3, "once training is under way, neither task pulls much with or against the other"
for head in ("sentiment", "engagement"):
    shares = parts.train.class_counts(head) / len(train)
    known = -np.log(shares)[parts.validation.labels[head]].mean()
    print(f"{head}: {judged[head].item():.3f}; who knows only how frequent the classes are gets {known:.3f}")
    assert judged[head].item() < known, "both heads have learnt something from the text"

# %% [markdown]
# Not far from 0: at right angles, a step for one task does little to the other. But is it a little or a lot? It needs
# something to be compared with. A task surely agrees with itself: take the *sentiment* gradient of one batch, and the
# *sentiment* gradient of the batch before it.
#
# **Predict** `itself_above_half`: is the mean of that cosine, over the same epochs, above 0.5?

# %%
itself = np.mean(within_a_task[-3 * steps :])
itself_above_half = bool(itself > 0.5)
print(f"\nMean cosine: two tasks, same rows {mean:.2f}; one task, other rows {itself:.2f}")
size_first, size_last = (np.abs(between_tasks[part]).mean() for part in (slice(steps), slice(-steps, None)))
print(f"Size of the cosine between tasks, whatever its sign: first epoch {size_first:.2f}, last {size_last:.2f}")
assert not itself_above_half, "32 rows say little: most of a batch's gradient is about these rows"
assert size_last < size_first, "the swings of the start calm down"

# %% [markdown]
# From batch to batch, one task agrees with itself only a little. That is the size to have in mind beside the other
# cosine, which compares two tasks on the same rows. A single step says nothing. And this is one run. Whether a second
# task helps or hurts the first is a question for several seeds; `docs/studies.md` has no verdict on it.

# %%
figure = Figure(figsize=(9, 5), layout="constrained")
axes = figure.add_subplot()
position = np.arange(len(between_tasks)) / steps
window = np.ones(25) / 25
axes.plot(position, between_tasks, ".", color="0.6", markersize=4, label="two tasks, same rows: single steps")
middle = position[12:-12]
axes.plot(middle, np.convolve(between_tasks, window, "valid"), "C0-", linewidth=2.5, label="their mean over 25 steps")
label = "sentiment alone, two batches: mean over 25 steps"
axes.plot(middle, np.convolve(within_a_task, window, "valid"), "C1--", linewidth=2.5, label=label)
axes.axhline(0, color="black", linewidth=0.8)
axes.set(ylim=(-1.05, 1.05), xlim=(0, EPOCHS), xlabel="epoch", ylabel="cosine of two gradients by the encoder")
axes.text(EPOCHS * 0.99, 0.97, "pull the same way", ha="right", va="top")
axes.text(EPOCHS * 0.99, -0.97, "pull against each other", ha="right", va="bottom")
axes.set_title("Do sentiment and engagement want the same of their encoder?", fontsize=11)
figure.legend(loc="outside lower center", ncols=3, fontsize=9)
PICTURE.parent.mkdir(parents=True, exist_ok=True)
figure.savefig(PICTURE, dpi=120)
print(f"Picture: {PICTURE}")

# %% [markdown]
# ## Exercises
#
# In `exercises/10.py`: `multitask_loss(logits, labels)`, the loss of a batch of which some labels are missing; and
# `uncertainty_loss(losses, log_variance)`, which learns how much each task counts (Kendall, Gal & Cipolla 2018).
#
# You can now read `minitx/models/multitask.py`.
