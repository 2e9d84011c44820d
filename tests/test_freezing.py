"""Parts by name, groups and rates, the plan: what trains when. Frozen bits do not change, in any scenario."""

import pickle

import numpy as np
import pytest
from matplotlib.figure import Figure
from test_trainer import rows_of, settings

from minitx.app.plots import training_curves
from minitx.app.task_gradients import task_gradients_picture
from minitx.app.timeline import by_layer, timeline
from minitx.errors import InputError
from minitx.evaluation.metrics import Report
from minitx.models.config import EncoderConfig
from minitx.models.encoder import SentenceEncoder
from minitx.models.multitask import MultiTaskModel
from minitx.models.task_weights import TaskWeights
from minitx.training.epochs import Callback, Epoch
from minitx.training.freezing import freeze, layers, parameter_groups, select
from minitx.training.optim import AdamW
from minitx.training.schedules import factor
from minitx.training.thawing import Plan, Stage
from minitx.training.trainable import trainable_report
from minitx.training.trainer import fit

BLOCK = "encoder.transformer.blocks"


def make(num_layers=4, **sizes):
    rng = np.random.default_rng(0)
    sizes = {"hidden_size": 16, "num_heads": 2, "intermediate_size": 32, "dropout": 0.1, **sizes}
    encoder = SentenceEncoder(EncoderConfig(20, num_layers=num_layers, **sizes), rng=rng)
    return MultiTaskModel(encoder, {"high": 2, "chance": 3}, rng=rng)


ALL = (Stage(),)


def plan_for(model, optimizer, stages=ALL, steps_per_epoch=4, epochs=3):
    total = steps_per_epoch * epochs
    shape = factor("linear", 2, total)
    return Plan(model, optimizer, shape, total_steps=total, steps_per_epoch=steps_per_epoch, stages=stages)


def groups_for(model, **options):
    return parameter_groups(model, **{"lr": 1e-3, "head_lr": 1e-2, "weight_decay": 0.1, **options})


# --- parts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "choices", [{}, {"norm_first": True}, {"positions": "learned", "relative_buckets": 8}], ids=str
)
def test_layers_hold_every_parameter_once_from_the_bottom_up(choices):
    model = make(**choices)
    of = layers(model)
    assert list(of) == ["embeddings", "block 0", "block 1", "block 2", "block 3", "high", "chance"]
    names = [name for layer in of.values() for name in layer]
    assert sorted(names) == sorted(name for name, _ in model.named_parameters())
    assert ("encoder.transformer.norm.weight" in of["block 3"]) == choices.get("norm_first", False)


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ("everything", ["embeddings", "block 0", "block 1", "block 2", "block 3", "high", "chance"]),
        ("backbone", ["embeddings", "block 0", "block 1", "block 2", "block 3"]),
        ("heads", ["high", "chance"]),
        ("chance", ["chance"]),
        ("top 1", ["block 3"]),
        ("top 3", ["block 1", "block 2", "block 3"]),
        ("upper", ["block 2", "block 3"]),
        ("lower", ["embeddings", "block 0", "block 1"]),
        (["embeddings", "block 2"], ["embeddings", "block 2"]),
        ("encoder.transformer.blocks.1.*", ["block 1"]),
        ("encoder.transformer.blocks.1", ["block 1"]),
        ("encoder.transformer.blocks.*", ["block 0", "block 1", "block 2", "block 3"]),
        ("encoder", ["embeddings", "block 0", "block 1", "block 2", "block 3"]),
        ("heads.chance", ["chance"]),
    ],
)
def test_parts(part, expected):
    model = make()
    assert select(model, part) == {name for layer in expected for name in layers(model)[layer]}


def test_a_pattern_may_cut_across_layers():
    assert select(make(), "*.norm1") == {f"{BLOCK}.{i}.norm1.{kind}" for i in range(4) for kind in ("weight", "bias")}
    assert select(make(), "*.norm1.weight") == {f"{BLOCK}.{i}.norm1.weight" for i in range(4)}


@pytest.mark.parametrize(
    ("part", "hint"),
    [
        ("backbon", "did you mean backbone"),
        ("block 4", "did you mean block"),
        ("top 5", "did you mean top"),
        ("heads.hihg.weight", r"did you mean heads\.high\?"),
        ("encoder.embeddings", r"did you mean encoder\.embedding\?"),
        ("bert", "choose from everything, backbone"),
        ("zzz", "choose from everything, backbone, heads"),
    ],
)
def test_a_part_that_names_nothing_is_an_error(part, hint):
    with pytest.raises(InputError, match=f"no parameter of this model is '{part}': {hint}"):
        select(make(), ["heads", part])


def test_freeze():
    model = make()
    freeze(model, "high")
    assert {name for name, p in model.named_parameters() if not p.requires_grad} == select(model, "high")


# --- groups ----------------------------------------------------------------------------------------------------------


def rate_of(groups, model):
    names = {p: name for name, p in model.named_parameters()}
    return {names[p]: group["lr"] for group in groups for p in group["params"]}


def test_every_parameter_is_in_exactly_one_group():
    model = make()
    groups = groups_for(model, layer_decay=0.9, rates={"*.norm1.*": 5e-4, "top 2": 1e-4})
    members = [p for group in groups for p in group["params"]]
    assert len(members) == len(set(members)) == len(list(model.parameters()))
    AdamW(groups).check(model)


def test_rates_fall_from_the_heads_down_to_the_embeddings():
    model = make()
    rates = rate_of(groups_for(model, layer_decay=0.5), model)
    assert rates["heads.high.weight"] == rates["heads.chance.bias"] == 1e-2
    assert [rates[f"{BLOCK}.{i}.norm2.bias"] for i in (3, 2, 1, 0)] == [1e-3, 5e-4, 2.5e-4, 1.25e-4]
    assert rates["encoder.embedding.weight"] == rates["encoder.norm.weight"] == 6.25e-5


def test_named_rates_replace_the_rest_and_the_last_one_counts():
    model = make()
    rates = rate_of(groups_for(model, rates={"backbone": 1e-5, "upper": 2e-5, "high": 3e-5}), model)
    assert rates["encoder.embedding.weight"] == rates[f"{BLOCK}.1.norm1.weight"] == 1e-5
    assert rates[f"{BLOCK}.2.norm1.weight"] == 2e-5
    assert (rates["heads.high.bias"], rates["heads.chance.bias"]) == (3e-5, 1e-2)


def test_biases_and_norms_do_not_decay_unless_told():
    model = make()
    names = {p: name for name, p in model.named_parameters()}
    decayed = {names[p] for group in groups_for(model) if group["weight_decay"] for p in group["params"]}
    assert decayed == {name for name in names.values() if name.endswith("weight") and "norm" not in name}
    assert all(group["weight_decay"] == 0.1 for group in groups_for(model, decay_all=True))


def test_report_says_what_the_optimizer_does():
    model = make(num_layers=1)
    optimizer = AdamW(groups_for(model))
    plan_for(model, optimizer, stages=(Stage(("heads",)),))
    report = trainable_report(model, optimizer)
    rows = {row.name: row for row in report.rows}
    assert rows["heads.high.weight"] == ("heads.high.weight", (2, 16), "high", 1e-2, 0.1, False)
    assert rows["heads.high.bias"][2:] == ("high, no decay", 1e-2, 0.0, False)  # though the warmup's first rate is 0
    assert rows["encoder.embedding.weight"].frozen
    assert report.trainable == 2 * 16 + 2 + 3 * 16 + 3
    assert report.total == sum(p.size for p in model.parameters())
    assert f"{report.trainable} of {report.total:,} weights train" in str(report)
    assert [line.split()[0] for line in str(report).splitlines()[1:-1]] == list(rows)


def test_report_shows_what_no_group_holds():
    model = make(num_layers=1)
    rows = trainable_report(model, AdamW(model.heads["high"].parameters())).rows
    assert {row.group for row in rows} == {"-", "0"}
    assert not rows[0].frozen


# --- the plan --------------------------------------------------------------------------------------------------------

GRADUAL = (Stage(("heads",)), Stage(("heads", "top 1"), epoch=1), Stage(epoch=1.5, rate=0.1))


def test_training_obeys_what_the_plan_says(rng):
    """Rates, flags and movement at every step of a real run are those of `at()` and `by_layer()`."""
    model = make()
    optimizer = AdamW(groups_for(model, layer_decay=0.9))
    plan = plan_for(model, optimizer, GRADUAL)
    rows, rates, shares = by_layer(plan, range(plan.total_steps))
    seen, moved = [], []

    real_step = optimizer.step

    def step(run=map):
        before = {p: p.data.copy() for p in plan.own}
        seen.append([group["lr"] for group in optimizer.param_groups])
        flags = {p for p in plan.own if p.requires_grad}
        assert flags == plan.at(len(seen) - 1)[1]
        real_step(run)
        moved.append({p for p in plan.own if (p.data != before[p]).any()})

    optimizer.step = step
    data = rows_of(rng, 32), rows_of(rng, 8)
    fit(model, *data, optimizer, settings(3, threads=1), schedule=plan, rng=rng)
    assert len(seen) == plan.total_steps == 12
    of = layers(model)
    names = {p: name for name, p in model.named_parameters()}
    for number, at in enumerate(seen):
        assert at == plan.at(number)[0]
        moved_names = {names[p] for p in moved[number]}
        for row, layer in enumerate(rows):
            expected = shares[row, number] > 0 and rates[row, number] > 0
            assert bool(moved_names.intersection(of[layer])) == expected, (number, layer)
    assert plan.starts == [0, 4, 6]
    np.testing.assert_allclose(rates[rows.index("block 3"), 6], 0.1 * 1e-3 * (12 - 6) / 10)
    assert shares[rows.index("block 3")].tolist() == [0] * 4 + [1] * 8
    assert shares[rows.index("block 0")].tolist() == [0] * 6 + [1] * 6


def test_a_thawed_parameter_starts_with_a_fresh_state():
    model = make(num_layers=1)
    optimizer = AdamW(groups_for(model))
    plan = plan_for(model, optimizer, (Stage(), Stage(("heads",), epoch=1), Stage(epoch=2)))
    weight = model.encoder.embedding.weight
    for step in range(1, 10):
        for parameter in model.parameters():
            parameter.grad = np.ones_like(parameter.data) if parameter.requires_grad else None
        optimizer.step()
        plan.step()
        assert (weight in optimizer.state) == (step < 4 or step > 8), step
    assert optimizer.state[weight]["step"] == 1
    assert optimizer.state[model.heads["high"].weight]["step"] == 9


@pytest.mark.parametrize("how", ["by name", "by the module", "by a group"])
def test_what_was_frozen_before_the_plan_goes_before_every_stage(how):
    model = make()
    groups = groups_for(model)
    if how == "by name":
        freeze(model, ["high", "embeddings"])
    elif how == "by the module":
        for module in (model.heads["high"], model.encoder.embedding, model.encoder.norm):
            module.freeze()
    else:
        groups = [{**group, "frozen": group["layer"] in ("high", "embeddings")} for group in groups]
    plan = plan_for(model, AdamW(groups), GRADUAL)
    for _ in range(plan.total_steps):
        learning = {name for name, p in model.named_parameters() if p.requires_grad}
        assert learning
        assert not learning & select(model, ["high", "embeddings"])
        plan.step()
    never = {p for name, p in model.named_parameters() if name in select(model, ["high", "embeddings"])}
    assert all(not plan.at(step)[1] & never for step in range(plan.total_steps))


@pytest.mark.parametrize("at", [0, 3, 4, 5, 6, 9])
def test_a_plan_goes_on_in_the_middle_of_a_stage(at):
    """Rates, flags and what the optimizer knows, from a new model, optimizer and plan on; bit for bit."""

    def steps(plan, number):
        rng = np.random.default_rng(plan.last_step)
        for _ in range(number):
            seen.append((plan.get_last_lr(), [p.requires_grad for p in plan.own]))
            for p in plan.own:
                g = rng.normal(size=p.shape).astype(np.float32)
                p.grad = g if p.requires_grad else None
            plan.optimizer.step()
            plan.step()
            rng = np.random.default_rng(plan.last_step)
        return plan

    def made(lr=1e-3):
        model = make()
        freeze(model, "chance")
        return plan_for(model, AdamW(groups_for(model, lr=lr, layer_decay=0.9)), GRADUAL)

    seen = []
    straight = steps(made(), 12)
    expected, seen = seen, []
    first = steps(made(), at)
    states = pickle.loads(pickle.dumps((first.optimizer.state_dict(), first.state_dict())))
    again = made(lr=0.5)
    for p, old in zip(again.own, first.own, strict=True):
        p.data[...] = old.data
    again.optimizer.load_state_dict(states[0])
    again.load_state_dict(states[1])
    steps(again, 12 - at)
    assert seen == expected
    assert [p.data.tobytes() for p in again.own] == [p.data.tobytes() for p in straight.own]


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ((Stage(epoch=1),), "stage 1 begins at epoch 1: expected 0"),
        ((Stage(), Stage(epoch=0)), "stage 2 begins at epoch 0: expected after 0"),
        ((Stage(), Stage(epoch=3)), "stage 2 begins at epoch 3: expected after 0 and before the end, 3"),
        (
            (Stage(), Stage(epoch=1), Stage(epoch=1.01)),
            "stage 3 begins at epoch 1: expected after 1 and before the end",
        ),
        ((Stage(("head",)),), "'head'"),
    ],
)
def test_stages_that_cannot_be(stages, message):
    model = make()
    with pytest.raises(InputError, match=message):
        plan_for(model, AdamW(groups_for(model)), stages)


# --- frozen is frozen ------------------------------------------------------------------------------------------------

SCENARIOS = {
    "everything": ["everything"],
    "backbone": ["backbone"],
    "one head": ["chance"],
    "lower half": ["lower"],
    "upper half": ["upper"],  # gradients flow through it to what is below
    "norms": ["*norm*"],
    "nothing": [],
}


@pytest.mark.parametrize("learned", [False, True], ids=["fixed weights", "learned weights"])
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_frozen_parts_keep_their_bits_and_the_rest_moves(rng, scenario, learned):
    model = make()
    weights = TaskWeights(model.heads, learned=learned)
    groups = groups_for(model, layer_decay=0.9)
    groups += [{"params": weights.parameters(), "lr": 1e-2, "weight_decay": 0.0}] if learned else []
    optimizer = AdamW(groups)
    freeze(model, SCENARIOS[scenario])
    plan = plan_for(model, optimizer, GRADUAL)
    before = {name: array.copy() for name, array in model.state_dict().items()}
    data = rows_of(rng, 32), rows_of(rng, 8)
    ends = []  # of each epoch: what is kept may be of one in which little had thawed

    class Remember(Callback):
        def on_epoch(self, epoch):
            ends.append({name: array.copy() for name, array in model.state_dict().items()})

    how = {"schedule": plan, "task_weights": weights, "callbacks": [Remember()], "rng": rng}
    if scenario == "everything" and not learned:
        with pytest.raises(InputError, match="no parameter of the optimizer trains: all are frozen"):
            fit(model, *data, optimizer, settings(3), **how)
        return
    fit(model, *data, optimizer, settings(3, accumulate=2, weight_average=0.5, threads=2), **how)
    frozen = select(model, SCENARIOS[scenario])
    assert len(ends) == 3
    for name, array in model.state_dict().items():
        if name in frozen:
            assert all(end[name].tobytes() == before[name].tobytes() for end in (*ends, {name: array})), name
        else:
            assert ends[-1][name].tobytes() != before[name].tobytes(), name


def test_a_plan_may_begin_with_everything_frozen(rng):
    model = make()
    freeze(model, ["heads"])
    optimizer = AdamW(groups_for(model))
    plan = plan_for(model, optimizer, (Stage(("heads",)), Stage(("everything",), 1.0)))
    before = {name: array.copy() for name, array in model.state_dict().items()}
    moved = []

    class Watch(Callback):
        def on_epoch(self, epoch):
            now = model.state_dict().items()
            moved.append({name.split(".")[0] for name, array in now if (array != before[name]).any()})

    data = rows_of(rng, 32), rows_of(rng, 8)
    fit(model, *data, optimizer, settings(3), schedule=plan, callbacks=[Watch()], rng=rng)
    assert moved == [set(), {"encoder"}, {"encoder"}]


@pytest.fixture
def figures(monkeypatch):
    """The figures that are saved, instead of files."""
    saved = []
    monkeypatch.setattr(Figure, "savefig", lambda self, path, **options: saved.append(self))
    return saved


def test_the_timeline_says_each_layers_highest_rate(figures, tmp_path):
    model = make()
    optimizer = AdamW(groups_for(model, layer_decay=0.95))
    plan = plan_for(model, optimizer, GRADUAL)
    timeline(plan, tmp_path / "timeline.png")
    (figure,) = figures
    axes, _ = figure.axes  # the second is the colour bar
    layers, rates, _ = by_layer(plan, range(plan.total_steps))
    assert [label.get_text() for label in axes.get_yticklabels()] == layers
    assert [text.get_text() for text in axes.texts if text.get_position()[0] > 1] == [
        f"{rate:.2e}" for rate in rates.max(axis=1)
    ]


def test_a_plan_in_which_nothing_trains_has_no_colours(figures, tmp_path):
    model = make()
    freeze(model, "everything")
    timeline(plan_for(model, AdamW(groups_for(model))), tmp_path / "timeline.png")
    (figure,) = figures
    (axes,) = figure.axes
    assert not axes.texts


@pytest.mark.parametrize("number", [1, 2, 12])
def test_epochs_below_a_picture_are_whole_numbers_of_the_run(figures, tmp_path, number):
    report = Report(("a", "b"), np.array([[5, 2], [1, 6]]), 0.5)
    both = {"x": report, "y": report}
    gradients = {"gradient_norm_x": 1.0, "gradient_norm_y": 2.0, "gradient_cosine_x_y": 0.3}
    epochs = [Epoch(i, both, both, 0.5, 1.0, 1.0, more=gradients) for i in range(1, number + 1)]
    training_curves(epochs, tmp_path / "curves.png", "")
    task_gradients_picture(epochs, tmp_path / "gradients.png", "")
    for axes in (axes for figure in figures for axes in figure.axes):
        low, high = axes.get_xlim()
        ticks = [tick for tick in axes.get_xticks() if low <= tick <= high]
        assert ticks
        assert set(ticks) <= set(range(1, number + 1))


def test_the_timeline_is_drawn(tmp_path):
    model = make()
    freeze(model, ["*norm*", "embeddings"])
    plan = plan_for(model, AdamW(groups_for(model)), GRADUAL)
    timeline(plan, tmp_path / "timeline.png")
    assert (tmp_path / "timeline.png").read_bytes().startswith(b"\x89PNG")


def test_a_second_plan_thaws_what_the_first_froze_and_nothing_else():
    model = make()
    freeze(model, "embeddings")
    stages = (Stage(("heads",)), Stage(("everything",), 1.0))
    first, second = (plan_for(model, AdamW(groups_for(model)), stages) for _ in range(2))
    assert first.trains == second.trains
    assert len(second.trains[1]) > len(second.trains[0])
    embeddings = {p for name, p in model.named_parameters() if name in select(model, "embeddings")}
    assert not second.trains[1] & embeddings


def test_an_optimizer_that_was_loaded_before_its_plan_keeps_its_state():
    model = make()
    optimizer = AdamW(groups_for(model))
    for p in model.parameters():
        p.grad = np.ones(p.shape, p.dtype)
    optimizer.step()
    plan_for(model, optimizer, (Stage(("heads",)), Stage(("everything",), 1.0)))
    assert len(optimizer.state) == len(list(model.parameters()))
