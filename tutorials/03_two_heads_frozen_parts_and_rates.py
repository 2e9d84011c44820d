"""03. How does one model learn two tasks, and what does freezing a part of it protect?

You write the training loop of a sentence model with two heads in the open, give its parts learning rates of their own,
freeze parts, and test a claim that is often made: that freezing a head protects its task.

Open beside it:  minitx/models/multitask.py and minitx/training/optim.py
Run it:          python tutorials/03_two_heads_frozen_parts_and_rates.py      (about 7 seconds)
Picture:         runs/tutorials/03_two_heads_frozen_parts_and_rates.png, below the directory you run it from
Data:            synthetic reviews, written by minitx/data/samples.py; no download
"""

# %%
import copy
import math
import warnings
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from threadpoolctl import threadpool_limits

from minitx import AdamW, BPETokenizer, EncoderConfig, MultiTaskModel, SentenceEncoder, Tensor, clip_grad_norm_
from minitx.data.batches import TokenisedRows, length_batches
from minitx.data.reviews import label_reviews
from minitx.data.samples import synthetic_reviews
from minitx.data.split import split
from minitx.evaluation.evaluate import evaluate
from minitx.text.truncation import TruncationWarning

PICTURE = Path("runs/tutorials/03_two_heads_frozen_parts_and_rates.png")
threadpool_limits(1)  # matrices as small as these are not worth sharing between threads, which would mostly wait

# %% [markdown]
# ## 1. Two questions about one text
#
# Each review has two labels: sentiment, from its stars, and engagement, from its thumbs-up count. The tokenizer learns
# from the training split only. All figures below are of the validation split; the test split is not touched.
#
# A figure to hold every accuracy against: what always answering the largest class would score.

# %%
data, _ = label_reviews(synthetic_reviews(2000))
parts = split(data, fractions=(0.6, 0.2, 0.2))
tokenizer = BPETokenizer.train(parts.train.texts, vocab_size=1000)
with warnings.catch_warnings():
    warnings.simplefilter("ignore", TruncationWarning)  # a long review loses its end, which will do here
    train, validation = (
        TokenisedRows(tokenizer.encode_batch(part.texts, max_length=32), part.labels)
        for part in (parts.train, parts.validation)
    )
print(f"synthetic reviews: {len(parts.train):,} to train, {len(parts.validation)} to validate")
for head, names in data.classes.items():
    counts = parts.validation.class_counts(head)
    listed = ", ".join(f"{count} {name}" for name, count in zip(names, counts, strict=True))
    print(f"  {head}: {listed}; always the largest class: {counts.max() / counts.sum():.3f}")


def new_model(seed=0):
    rng = np.random.default_rng(seed)
    sizes = {"hidden_size": 64, "intermediate_size": 128, "num_layers": 1, "num_heads": 4, "max_length": 32}
    encoder = SentenceEncoder(EncoderConfig(tokenizer.vocab_size, tokenizer.pad_id, **sizes), tokenizer, rng=rng)
    return MultiTaskModel(encoder, data.classes, rng=rng)


def bits(module):
    """A copy of all weights, to compare with later."""
    return {name: weights.tobytes() for name, weights in module.state_dict().items()}


# %% [markdown]
# ## 2. One step
#
# The encoder turns a batch of texts into one vector each; each head turns the vector into three scores. The loss of a
# head is -ln(the probability it gave to the right class), and the model's loss is the sum over its heads.
#
# **Predict:** the heads have learnt nothing, so every class gets the probability 1/3. What is the first loss?

# %%
model = new_model()
batches = length_batches(*train, batch_size=32, pad_id=tokenizer.pad_id, rng=np.random.default_rng(0))
batch = next(batches)
logits = model(batch.ids, batch.attention_mask)
losses = model.losses(logits, batch.labels)
loss = losses["sentiment"] + losses["engagement"]
print(f"\nThe first loss is {loss.item():.3f}; ln(3) + ln(3) = {2 * math.log(3):.3f}")
assert abs(loss.item() - 2 * math.log(3)) < 0.1, "a first loss far from ln(classes) is a bug, or a bad start"

# %% [markdown]
# The encoder is shared and gets a derivative from both tasks; it may need a smaller learning rate than the heads. An
# optimizer takes groups of parameters, each with settings of its own. Adam divides each derivative by its own recent
# size, so that a step is about as large as the rate, however small the derivative.
#
# **Predict:** how far does the weight that moves most move in the first step, in each group?

# %%
rates = {"encoder": 1e-3, "sentiment": 4e-3, "engagement": 2e-3}


def new_optimizer(model, rates):
    modules = {"encoder": model.encoder, **model.heads}
    return AdamW(
        [{"name": name, "params": module.parameters(), "lr": rates[name]} for name, module in modules.items()],
        weight_decay=0.01,
    )


optimizer = new_optimizer(model, rates)
before = [[p.data.copy() for p in group["params"]] for group in optimizer.param_groups]
loss.backward()
clip_grad_norm_(model.parameters(), max_norm=1.0)
optimizer.step()
print("group        weights   rate   largest move")
for group, old in zip(optimizer.param_groups, before, strict=True):
    move = max(np.abs(p.data - o).max() for p, o in zip(group["params"], old, strict=True))
    print(f"{group['name']:10} {sum(o.size for o in old):9,}  {rates[group['name']]:.3f}        {move:.5f}")
    assert math.isclose(move, rates[group["name"]], rel_tol=0.05), "the rate, give or take the weight decay"

# %% [markdown]
# ## 3. The loop
#
# This is all there is to training; `minitx.training.trainer.fit` adds a progress bar, a schedule of rates, and keeps
# the best epoch. `tasks` says which losses count.


# %%
def fit(model, optimizer, tasks, epochs, seed=1, report=None):
    """Trains in place. Returns a dict of reports, one for each head, after each epoch."""
    optimizer.check(model)
    rng = np.random.default_rng(seed)
    history = []
    for epoch in range(1, epochs + 1):
        model.train()
        for batch in length_batches(*train, batch_size=32, pad_id=tokenizer.pad_id, rng=rng):
            logits = model(batch.ids, batch.attention_mask)
            losses = model.losses(logits, batch.labels)
            loss = sum((losses[task] for task in tasks), start=Tensor(0.0))
            optimizer.zero_grad()
            loss.backward()
            clip_grad_norm_(model.parameters(), max_norm=1.0)
            optimizer.step()
        history.append(evaluate(model, validation))
        if report:
            show(f"epoch {epoch}", history[-1])
    return history


def show(what, reports):
    cells = (f"{r.accuracy:8.3f}   ({r.majority:.3f})  {r.macro_f1:8.3f}" for r in reports.values())
    print(f"{what:32}" + "   ".join(cells))


BOTH = ("sentiment", "engagement")
trained = new_model()
trained_optimizer = new_optimizer(trained, rates)
print(f"\n{'':32}" + "   ".join(f"{head:^28}" for head in BOTH))
print(f"{'':32}" + "   ".join(["accuracy (largest)  macro-F1"] * 2))
history = fit(trained, trained_optimizer, BOTH, epochs=8, report=True)
learnt = {head: report.accuracy for head, report in history[-1].items()}
largest = {head: report.majority for head, report in history[-1].items()}
assert learnt["sentiment"] > largest["sentiment"] + 0.15, "it reads sentiment"
assert learnt["engagement"] > largest["engagement"], "and something about engagement"

# %% [markdown]
# ## 4. Frozen means that not one bit moves
#
# `freeze()` sets one flag, `requires_grad`, on every parameter below. The obvious test is that nothing changes; it is
# less obvious than it sounds, because the optimizer has two more reasons to move a weight than its derivative: weight
# decay, and the running mean of past derivatives (momentum), which is not zero in an optimizer that has been at work.
#
# `copy.deepcopy((model, optimizer))` copies the two together, so that the copy of the optimizer holds the weights of
# the copy of the model.
#
# **Predict:** instead of freezing, we set all derivatives of the encoder to zero and take a step. Does it move? By how
# much, compared with its rate of 0.001?

# %%
model, optimizer = copy.deepcopy((trained, trained_optimizer))
before = [p.data.copy() for p in model.encoder.parameters()]
for p in model.parameters():
    p.grad = np.zeros_like(p.data)
optimizer.step()
moved = max(np.abs(p.data - o).max() for p, o in zip(model.encoder.parameters(), before, strict=True))
print(f"\nDerivatives set to 0, one step: the encoder's weights move by up to {moved:.4f}")
assert moved > 1e-4, "momentum and weight decay need no derivative"

model, optimizer = copy.deepcopy((trained, trained_optimizer))
model.encoder.freeze()
before = bits(model)
fit(model, optimizer, BOTH, epochs=1)
changed = {name for name, now in bits(model).items() if now != before[name]}
print(f"Encoder frozen, one epoch with the same optimizer: {len(changed)} of {len(before)} parameters changed")
assert changed == {name for name in before if name.startswith("heads.")}, "the heads learn, the encoder keeps every bit"

# %% [markdown]
# A frozen encoder is good for something only if heads can be learnt on top of it. So replace both heads by new ones.
#
# **Predict:** how good is the model with new heads before they are trained? And after two epochs, encoder frozen?

# %%
model = copy.deepcopy(trained)
model.heads = new_model(seed=5).heads
show("frozen encoder, new heads", evaluate(model, validation))
model.encoder.freeze()
optimizer = new_optimizer(model, rates)
probe = fit(model, optimizer, BOTH, epochs=2)[-1]
show("frozen encoder, heads trained", probe)
assert abs(probe["sentiment"].accuracy - learnt["sentiment"]) < 0.05, "what there was to know is in the encoder"

# %% [markdown]
# ## 5. Does freezing a head protect its task?
#
# Suppose sentiment is finished and only engagement is to be trained on. "Freeze the sentiment head, so that sentiment
# is not forgotten", several write-ups say. We start four times from the model of section 3 and train for four epochs,
# the encoder at a rate of 0.003:
#
# - engagement only, sentiment head frozen;
# - engagement only, nothing frozen;
# - both tasks, sentiment head frozen;
# - engagement only, encoder frozen.
#
# **Predict:** in which of the four does sentiment accuracy fall? How do the first two differ?

# %%
runs = {
    "engagement only, head frozen": (["engagement"], lambda model: model.heads["sentiment"].freeze()),
    "engagement only, nothing frozen": (["engagement"], lambda model: None),
    "both tasks, head frozen": (BOTH, lambda model: model.heads["sentiment"].freeze()),
    "engagement only, encoder frozen": (["engagement"], lambda model: model.encoder.freeze()),
}
curves, engagement, ended = {}, {}, {}
print()
show("before", history[-1])
for name, (tasks, freeze) in runs.items():
    model = copy.deepcopy(trained)
    freeze(model)
    reports = fit(model, new_optimizer(model, {**rates, "encoder": 3e-3}), tasks, epochs=4)
    show(name, reports[-1])
    curves[name] = [report["sentiment"].accuracy for report in (history[-1], *reports)]
    engagement[name] = reports[-1]["engagement"].accuracy
    ended[name] = bits(model)

head_only, nothing, both, encoder_only = runs
head_bits = {name: old for name, old in bits(trained).items() if name.startswith("heads.sentiment.")}
assert head_bits.items() <= ended[head_only].items(), "the frozen head has not changed by a bit,"
assert curves[head_only][-1] < learnt["sentiment"] - 0.05, "and its task is forgotten all the same"
assert ended[head_only] == ended[nothing], "freezing it changed nothing at all, down to the last bit of the model"
assert curves[both][-1] > learnt["sentiment"] - 0.05, "what protects a task is to go on training on it,"
assert set(curves[encoder_only]) == {learnt["sentiment"]}, "or an encoder that does not move,"
assert engagement[encoder_only] > engagement[head_only] - 0.03, "which here cost engagement nothing to speak of"
print(f"Frozen head: all bits the same, sentiment {learnt['sentiment']:.3f} -> {curves[head_only][-1]:.3f}")
print(f"Models of the first two runs identical to the last bit: {ended[head_only] == ended[nothing]}")

# %% [markdown]
# A head is a reader of the encoder's vectors. Freezing the reader does not keep the writer from changing the language.
# It did not even make a difference: the loss of engagement does not depend on the sentiment head, whose derivative is
# therefore None, frozen or not, and the optimizer passes over it in both cases.
#
# What does protect a task: going on with its data (rehearsal, the third run), or freezing what the tasks share (the
# fourth). The price of the fourth is that engagement cannot shape the encoder any more; here it lost nothing by that,
# because the encoder had learnt from both tasks before. The picture shows sentiment epoch by epoch.

# %%
figure = Figure(figsize=(7, 4.2), layout="constrained")
axes = figure.add_subplot()
for (name, values), style in zip(curves.items(), ("C0o-", "C1--", "C2-", "C3-"), strict=True):
    axes.plot(values, style, label=name)
axes.axhline(largest["sentiment"], color="black", linewidth=0.8, linestyle=":", label="always the largest class")
axes.set(xticks=range(5), ylim=(0.4, 0.95))
axes.set_xlabel("epochs of further training")
axes.set_ylabel("sentiment accuracy, validation")
axes.set_title("Freezing the head of a task does not protect it (synthetic reviews)", fontsize=11)
axes.grid(alpha=0.25)
axes.legend(fontsize=8, loc="lower left", bbox_to_anchor=(0, 0.1))
PICTURE.parent.mkdir(parents=True, exist_ok=True)
figure.savefig(PICTURE, dpi=120)
print(f"Picture: {PICTURE}")

# %% [markdown]
# ## 6. The optimizer of another model
#
# A notebook builds a model, then an optimizer. Later somebody runs the cell that builds the model again, but not the
# one with the optimizer. Nothing in the code looks wrong.
#
# **Predict:** what does a training step do now? Is there an error?

# %%
model = new_model()
optimizer = new_optimizer(model, rates)
model = new_model()
before = bits(model)
loss = model.losses(model(batch.ids, batch.attention_mask), batch.labels)["sentiment"]
loss.backward()
optimizer.step()
print(f"\nAfter a step with the old optimizer, the model is unchanged: {bits(model) == before}")
assert bits(model) == before, "it moves the weights of the model that is gone"
try:
    optimizer.check(model)
    complaint = "nothing"
except ValueError as error:
    complaint = str(error)
print(f"optimizer.check(model) says: {complaint[:84]}...")
assert complaint != "nothing", "check() compares the optimizer's weights with the model's; fit() calls it"

# %% [markdown]
# ## Exercise
#
# A deep encoder that was trained before is often trained on with rates that fall from top to bottom, since the lower
# blocks know the most general things. Return the groups for `AdamW`: each head at `top`; the last block of
# `model.encoder.transformer.blocks` at `top * decay`, the one below at `top * decay**2`, and so on; what lies below the
# first block (`model.encoder.embedding` and `model.encoder.norm`) one factor lower still. A solution is in
# `tests/test_tutorials.py`.


# %%
def exercise(model, top, decay):
    """Parameter groups, a list of dicts with "params" and "lr"."""
    # your code here


def check(make_groups):
    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_layers": 3, "num_heads": 2}
    rng = np.random.default_rng(0)
    model = MultiTaskModel(SentenceEncoder(EncoderConfig(50, **sizes), rng=rng), {"a": 2, "b": 3}, rng=rng)
    groups = make_groups(model, 1e-3, 0.5)
    if groups is None:
        print("\nExercise: not done yet")
        return False
    optimizer = AdamW(groups)
    try:
        optimizer.check(model)
    except ValueError as error:
        raise AssertionError(str(error)) from None
    rate = {p: group["lr"] for group in optimizer.param_groups for p in group["params"]}
    exponents = {"encoder.embedding.": 4, "encoder.norm.": 4, "heads.": 0}
    exponents |= {f"encoder.transformer.blocks.{i}.": 3 - i for i in range(3)}
    for name, p in model.named_parameters():
        (n,) = (exponent for prefix, exponent in exponents.items() if name.startswith(prefix))
        assert math.isclose(rate[p], 1e-3 * 0.5**n), f"{name} has the rate {rate[p]:g}, not 0.001 * 0.5^{n}"
    print("\nExercise: right")
    return True


check(exercise)
