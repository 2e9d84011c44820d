# %% [markdown]
# # 12. Rates by layer, and thawing
#
# *25 minutes. Reads: `minitx/training/freezing.py`, `minitx/training/schedules.py`, `minitx/training/thawing.py`.
# Needs: lessons 04 and 11.*
#
# Which weight learns how fast, and from when on? The answer is a product of three numbers: a rate for the layer, a
# factor for the step, and a factor for the stage of training, which also says what is frozen. Nothing is trained here.
# Afterwards you can read such a plan before the first step, and see what is odd about it.

# %%
from pathlib import Path

import numpy as np

from minitx import AdamW, EncoderConfig, MultiTaskModel, Plan, SentenceEncoder, Stage, parameter_groups
from minitx.app.timeline import timeline
from minitx.training.freezing import layers
from minitx.training.schedules import factor

PICTURE = Path("runs/tutorials/12_rates_and_thawing.png")

# %% [markdown]
# ## A rate for each layer
#
# The lower layers of a pretrained encoder are said to know what is general, and the upper ones what is special. So the
# top block gets the full rate, and every layer below a fixed share of the rate above it. Write-ups often take 0.95. Our
# encoder has twelve blocks, and the embeddings below them.
#
# **Predict** `rate["embeddings"] / rate["block 11"]`: how fast do the embeddings learn, compared with the top block?

# %%
sizes = {"vocab_size": 50, "hidden_size": 8, "intermediate_size": 16, "num_layers": 12, "num_heads": 2}
rng = np.random.default_rng(0)
model = MultiTaskModel(SentenceEncoder(EncoderConfig(**sizes), rng=rng), {"sentiment": 3}, rng=rng)
groups = parameter_groups(model, lr=1e-4, head_lr=1e-3, layer_decay=0.95)
rate = {group["layer"]: group["lr"] for group in groups}
for layer, value in reversed(rate.items()):
    print(f"{layer:12} {value:.2e} {'#' * round(value / 2e-6) if value <= 1e-4 else ''}")
ratio = rate["embeddings"] / rate["block 11"]
print(f"embeddings / top block = {ratio:.3f}")
assert np.isclose(ratio, 0.95**12), "twelve steps down from the top block, each times 0.95"

# %% [markdown]
# Over half: twelve layers at 0.95 are barely layer-wise. (The heads, new and random, have a rate of their own.) If the
# embeddings are to be moved little, the factor has to be smaller.
#
# **Predict** `needed`: with which factor for each layer do they learn at a tenth of the top block's rate?

# %%
needed = 0.1 ** (1 / 12)
steeper = {group["layer"]: group["lr"] for group in parameter_groups(model, lr=1e-4, head_lr=1e-3, layer_decay=needed)}
print(f"\nfactor {needed:.3f}: top block {steeper['block 11']:.2e}, embeddings {steeper['embeddings']:.2e}")
assert np.isclose(steeper["embeddings"], 0.1 * steeper["block 11"]), "its twelfth power is a tenth"

# %% [markdown]
# ## A factor for each step
#
# A schedule multiplies all rates by one factor, so that their proportions stay. The usual one climbs from 0 to 1 in a
# straight line (*warmup*, while Adam's running means are still made of few gradients) and then falls back to 0. We take
# 60 steps, 6 of them warmup.
#
# **Predict** `len(moved)`: after the first step of training, how many of the model's arrays have moved?

# %%
optimizer = AdamW(groups)
schedule = factor("linear", warmup_steps=6, total_steps=60)
plan = Plan(model, optimizer, schedule, total_steps=60, steps_per_epoch=10)  # one stage: everything trains
old = {name: weights.copy() for name, weights in model.state_dict().items()}
ids, attention_mask = rng.integers(50, size=(4, 8)), np.ones((4, 8), bool)
model.losses(model(ids, attention_mask), {"sentiment": np.array([0, 1, 2, 0])})["sentiment"].backward()
optimizer.step()
moved = [name for name, weights in model.state_dict().items() if (weights != old[name]).any()]
print("\nfactors of the first seven steps:", *(f"{schedule(step):.2f}" for step in range(7)))
print(f"{len(moved)} of {len(old)} arrays moved in the first step")
assert not moved, "the first factor is 0 / 6, and 0 times any rate is 0; weight decay is times the rate as well"

# %% [markdown]
# It looks like a wasted step, and `get_linear_schedule_with_warmup` of transformers wastes it too. Only Adam's memory
# has changed.
#
# **Predict** `average`: over all 60 steps, what is the average factor?

# %%
average = np.mean([schedule(step) for step in range(60)])
longer = np.mean([factor("linear", warmup_steps=30, total_steps=60)(step) for step in range(60)])
print(f"\naverage factor {average:.3f}; with a warmup of 30 steps {longer:.3f}; constant 1.000")
assert abs(average - 0.5) < 0.02, "two straight lines between 0 and 1, whatever the length of the first"

# %% [markdown]
# So a run "at a rate of 1e-4" with this schedule takes steps that add up to half of those at a constant 1e-4. Compare
# schedules with that in mind.
#
# ## Stages: what trains from when on
#
# *Gradual unfreezing* begins with the new heads, whose first gradients are noise, and thaws the encoder from the top
# (Howard & Ruder 2018). Ours has three stages over six epochs, counted from 0: the heads; from epoch 1 on also the top
# four blocks; from epoch 3 on everything, at a fifth of all rates.
#
# **Predict** `len(training)`: the model has 14 parts, 12 of them blocks. How many train in epoch 1?

# %%
stages = [
    Stage(train=("heads",)),
    Stage(train=("heads", "top 4"), epoch=1),
    Stage(train=("everything",), epoch=3, rate=0.2),
]
optimizer = AdamW(parameter_groups(model, lr=1e-4, head_lr=1e-3, layer_decay=needed))
plan = Plan(model, optimizer, schedule, total_steps=60, steps_per_epoch=10, stages=stages)
own = dict(model.named_parameters())


def parts_in_training(step):
    _, trains = plan.at(step)
    return [layer for layer, names in layers(model).items() if trains.issuperset(own[name] for name in names)]


for epoch in range(6):
    training = parts_in_training(10 * epoch)
    print(f"epoch {epoch}: {len(training):2} parts train, the lowest is {training[0]}")
training = parts_in_training(10)
assert training == ["block 8", "block 9", "block 10", "block 11", "sentiment"], "four blocks and one head"

# %% [markdown]
# Now all three numbers at once. The head's rate is 0.001. Step 33 is in epoch 3, and the schedule's factor there is
# 0.5.
#
# **Predict** `head_rate`: what is the head's rate at step 33?

# %%
rates, _ = plan.at(33)
(head_rate,) = {r for r, group in zip(rates, optimizer.param_groups, strict=True) if group["layer"] == "sentiment"}
print(f"\nstep 33: factor {schedule(33):.2f}, stage's rate {plan.stages[2].rate}, head's rate {head_rate:.1e}")
assert np.isclose(head_rate, 1e-3 * 0.5 * 0.2), "layer's rate times step's factor times stage's rate"

# %% [markdown]
# `timeline`, of `minitx/app/timeline.py`, draws a plan before the first step, from the object that training will
# follow. Read a row from left to right. The embeddings thaw when the schedule is already half way down, and are slowed
# by the stage and by their depth: the number at the right is the highest rate they ever get.
#
# Is it worth it? On 400 reviews, ten seeds, `docs/studies.md` says no: thawing costs two to three points of accuracy,
# layer-wise rates of 0.8 cost 1.4, and 0.95 changes nothing that matters. Thawing saves time.

# %%
PICTURE.parent.mkdir(parents=True, exist_ok=True)
timeline(plan, PICTURE)
print(f"Picture: {PICTURE}")
highest = max(plan.at(step)[0][0] for step in range(30, 60))
print(f"embeddings: at most {highest:.1e}, {highest / 1e-4:.3f} of the top block's rate before all factors")
assert highest < 0.02 * 1e-4, "depth, step and stage multiply"

# %% [markdown]
# ## Exercises
#
# In `exercises/12.py`: `layer_wise_rates(num_layers, top, decay)`, the rates from the embeddings up; and
# `warmup_then_linear(step, warmup, total)`, the factor of a step.
#
# You can now read `minitx/training/schedules.py` and `minitx/training/thawing.py`.
