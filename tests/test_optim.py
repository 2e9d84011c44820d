"""Optimisers, clipping, schedules: torch's numbers over 50 steps, saved and loaded on the way; frozen bits; errors."""

import copy
import math
import pickle

import numpy as np
import pytest
import torch

from minitx.autograd import functional as F
from minitx.autograd.rows import RowGradient
from minitx.autograd.tensor import Tensor
from minitx.nn.layers import Linear
from minitx.nn.module import Module, Parameter
from minitx.training import blocks
from minitx.training.average import WeightAverage
from minitx.training.groups import Optimizer
from minitx.training.optim import SGD, Adam, AdamW, clip_grad_norm_
from minitx.training.schedules import SCHEDULES, LambdaLR, factor

SHAPES = {"embedding": (7, 5), "weight": (5, 4), "bias": (4,), "head": (3, 4), "scale": ()}
GROUPS = [("embedding", "weight"), ("bias", "scale"), ("head",)]
SETTINGS = [{"lr": 0.03}, {"lr": 0.01, "weight_decay": 0.0}, {"lr": 0.05, "weight_decay": 0.3}]

OPTIMIZERS = {
    "SGD": (SGD, torch.optim.SGD, {}),
    "SGD momentum, decay": (SGD, torch.optim.SGD, {"momentum": 0.9, "weight_decay": 0.1}),
    "Adam": (Adam, torch.optim.Adam, {}),
    "Adam decay, betas, eps": (Adam, torch.optim.Adam, {"weight_decay": 0.1, "betas": (0.8, 0.95), "eps": 1e-3}),
    "AdamW": (AdamW, torch.optim.AdamW, {}),
    "AdamW decay": (AdamW, torch.optim.AdamW, {"weight_decay": 0.2, "betas": (0.8, 0.95)}),
}
each_optimizer = pytest.mark.parametrize("name", OPTIMIZERS)


def parameters(dtype=np.float64):
    rng = np.random.default_rng(0)
    return {name: Parameter(rng.normal(size=shape).astype(dtype)) for name, shape in SHAPES.items()}


def grouped(ours):
    return [{"params": [ours[n] for n in names], **s} for names, s in zip(GROUPS, SETTINGS, strict=True)]


def gradients(steps, dtype=np.float64):
    """Of very different sizes, sometimes missing, sometimes 0: what a real run has."""
    rng = np.random.default_rng(1)
    for step in range(steps):
        grads = {name: rng.normal(size=shape) * 10.0 ** rng.integers(-4, 2) for name, shape in SHAPES.items()}
        grads["bias"] *= step % 3 > 0
        yield {name: None if name == "head" and step % 5 == 4 else np.asarray(g, dtype) for name, g in grads.items()}


def run(name, dtype=np.float64, *, restart_at=None, through=lambda state: state, max_norm=None):
    """50 steps; optionally everything is saved, thrown away and loaded in between."""
    kind, _, options = OPTIMIZERS[name]
    ours = parameters(dtype)
    optimizer = kind(grouped(ours), **options)
    for step, grads in enumerate(gradients(50, dtype)):
        if step == restart_at:
            state, ours = through(optimizer.state_dict()), {n: Parameter(p.data.copy()) for n, p in ours.items()}
            fresh = [{"params": [ours[n] for n in names]} for names in GROUPS]  # the rates come from the state
            optimizer = kind(fresh)
            optimizer.load_state_dict(state)
        optimizer.zero_grad()
        for n, grad in grads.items():
            ours[n].grad = None if grad is None else grad.copy()
        if max_norm:
            clip_grad_norm_(ours.values(), max_norm)
        optimizer.step()
    return ours


def run_torch(name, dtype=np.float64, max_norm=None):
    _, kind, options = OPTIMIZERS[name]
    twins = {n: torch.tensor(p.data, requires_grad=True) for n, p in parameters(dtype).items()}
    optimizer = kind(grouped(twins), **options)
    for grads in gradients(50, dtype):
        for n, grad in grads.items():
            twins[n].grad = None if grad is None else torch.tensor(grad)
        if max_norm:
            torch.nn.utils.clip_grad_norm_(twins.values(), max_norm)
        optimizer.step()
    return {n: t.detach().numpy() for n, t in twins.items()}


@each_optimizer
@pytest.mark.parametrize("max_norm", [None, 1.0])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_50_steps_are_torchs(name, dtype, max_norm):
    ours, twins = run(name, dtype, max_norm=max_norm), run_torch(name, dtype, max_norm)
    start = parameters(dtype)
    for n, parameter in ours.items():
        assert parameter.dtype == dtype
        assert np.abs(parameter.data - start[n].data).min() > 1e-4, "a test in which nothing moves shows nothing"
        tolerance = 2e-4 if dtype == np.float32 else 1e-10
        np.testing.assert_allclose(parameter.data, twins[n], rtol=tolerance, atol=tolerance / 10, err_msg=n)


@each_optimizer
@pytest.mark.parametrize("through", [copy.deepcopy, lambda state: pickle.loads(pickle.dumps(state))])
def test_saving_and_loading_in_the_middle_changes_no_bit(name, through):
    straight, restarted = run(name), run(name, restart_at=25, through=through)
    for n in SHAPES:
        assert straight[n].data.tobytes() == restarted[n].data.tobytes()


@each_optimizer
def test_the_state_dict_is_torchs(name):
    kind, torch_kind, options = OPTIMIZERS[name]
    ours = parameters()
    twins = {n: torch.tensor(p.data, requires_grad=True) for n, p in ours.items()}
    optimizer, twin = kind(grouped(ours), **options), torch_kind(grouped(twins), **options)
    for grads in gradients(3):
        for n, grad in grads.items():
            ours[n].grad, twins[n].grad = grad, torch.tensor(grad)
        optimizer.step()
        twin.step()
    state, expected = optimizer.state_dict(), twin.state_dict()
    assert [g["params"] for g in state["param_groups"]] == [g["params"] for g in expected["param_groups"]]
    for group, torch_group in zip(state["param_groups"], expected["param_groups"], strict=True):
        assert all(group[key] == torch_group[key] for key in group if key != "params")
    for i, values in state["state"].items():
        for key, value in values.items():
            np.testing.assert_allclose(value, expected["state"][i][key], rtol=1e-10)
    assert name == "SGD" or len(state["state"]) == len(SHAPES)


@each_optimizer
def test_the_same_run_gives_the_same_bits(name):
    first, again = run(name, np.float32), run(name, np.float32)
    assert all(first[n].data.tobytes() == again[n].data.tobytes() for n in SHAPES)


def test_blocks_do_not_change_adam(monkeypatch):
    whole = run("AdamW decay")
    monkeypatch.setattr(blocks, "BLOCK", 3)
    assert all(whole[n].data.tobytes() == p.data.tobytes() for n, p in run("AdamW decay").items())


@each_optimizer
def test_parameters_stay_where_they_are_in_memory(name):
    """A step writes into the arrays: state_dict() and tied weights go on seeing them."""
    kind, _, options = OPTIMIZERS[name]
    p = Parameter(np.ones((4, 3)))
    array, p.grad = p.data, np.ones((4, 3))
    kind([p], **options).step()
    assert p.data is array
    assert (array != 1).all()


@each_optimizer
def test_a_step_does_not_change_the_gradient(name):
    kind, _, options = OPTIMIZERS[name]
    p = Parameter(np.ones((4, 3)))
    p.grad = np.full((4, 3), 0.3)
    kind([p], **options).step()
    assert (p.grad == 0.3).all()


@each_optimizer
def test_non_contiguous_parameters_move_too(name):
    """Adam works on flat views: a reshape that copies would move a copy."""
    kind, _, options = OPTIMIZERS[name]
    plain, turned = Parameter(np.ones((4, 3))), Parameter(np.ones((3, 4)).T)
    grad = np.arange(12.0).reshape(4, 3) - 5.5
    for p in (plain, turned):
        p.grad = grad.copy()
        kind([p], **options).step()
    np.testing.assert_array_equal(plain.data, turned.data)


@each_optimizer
@pytest.mark.parametrize("how", ["requires_grad", "group", "module"])
def test_frozen_parameters_keep_their_bits(name, how):
    kind, _, options = OPTIMIZERS[name]
    rng = np.random.default_rng(0)
    model = TwoLayers(rng)
    optimizer = kind(
        [{"params": model.first.parameters(), "frozen": how == "group"}, {"params": model.second.parameters()}],
        **{"lr": 0.1, **options},
    )
    if how != "group":  # a step first, so that there is momentum
        step(model, optimizer, rng)
        if how == "module":
            model.first.freeze()
        else:
            for p in model.first.parameters():
                p.requires_grad = False  # its gradient of the last step is still there
    before = {n: p.data.tobytes() for n, p in model.named_parameters()}
    for _ in range(10):
        step(model, optimizer, rng, clear=how != "requires_grad")
    moved = {n for n, p in model.named_parameters() if p.data.tobytes() != before[n]}
    assert moved == {"second.weight", "second.bias"}


class TwoLayers(Module):
    def __init__(self, rng):
        self.first, self.second = Linear(4, 3, rng=rng), Linear(3, 2, rng=rng)

    def forward(self, x):
        return self.second(F.gelu(self.first(x)))


def step(model, optimizer, rng, clear=True):
    if clear:
        optimizer.zero_grad()
    x, target = Tensor(rng.normal(size=(8, 4)).astype(np.float32)), rng.integers(2, size=8)
    loss = F.cross_entropy(model(x), target)
    loss.backward()
    clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    return loss.item()


@each_optimizer
def test_it_learns(name):
    """Five labels from five numbers, which a linear layer can get right."""
    kind, _, options = OPTIMIZERS[name]
    rng = np.random.default_rng(0)
    layer, x = Linear(5, 5, rng=rng), Tensor(np.eye(5, dtype=np.float32) * 4)
    optimizer = kind(layer.parameters(), lr=0.5 if kind is SGD else 0.1, **{**options, "weight_decay": 0.0})
    for _ in range(50):
        optimizer.zero_grad()
        loss = F.cross_entropy(layer(x), np.arange(5))
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.1


@each_optimizer
def test_zero_grad_gives_none_so_that_momentum_rests(name):
    kind, _, options = OPTIMIZERS[name]
    p = Parameter(np.ones(3))
    optimizer = kind([p], **options)
    p.grad = np.ones(3)
    optimizer.step()
    optimizer.zero_grad()
    assert p.grad is None
    before = p.data.copy()
    optimizer.step()
    np.testing.assert_array_equal(p.data, before)


# -- groups and errors ----------------------------------------------------------------------------------------


def test_groups_override_defaults_and_keep_their_names():
    a, b, c = (Parameter(np.ones(2)) for _ in range(3))
    optimizer = AdamW([{"params": [a], "lr": 1e-5, "name": "encoder"}, {"params": iter([("b", b)])}], lr=2e-3)
    optimizer.add_param_group({"params": [c], "weight_decay": 0, "frozen": True})
    assert [g["lr"] for g in optimizer.param_groups] == [1e-5, 2e-3, 2e-3]
    assert [g["weight_decay"] for g in optimizer.param_groups] == [1e-2, 1e-2, 0]
    assert optimizer.param_groups[0]["name"] == "encoder"
    assert [p.requires_grad for p in (a, b, c)] == [True, True, False]
    assert optimizer.defaults == {"lr": 2e-3, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 1e-2}


@pytest.mark.parametrize(
    ("kind", "defaults"),
    [
        (SGD, {"lr": 1e-3, "momentum": 0.0, "weight_decay": 0.0}),
        (Adam, {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0}),
        (AdamW, {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 1e-2}),
    ],
)
def test_defaults_are_torchs(kind, defaults):
    ours = kind([Parameter(np.ones(2))]).defaults
    theirs = getattr(torch.optim, kind.__name__)([torch.zeros(2, requires_grad=True)]).defaults
    assert ours == defaults
    assert all(theirs[key] == value for key, value in defaults.items())


def test_bad_groups_are_refused_by_name():
    a, b = Parameter(np.ones(2)), Parameter(np.ones(2))
    with pytest.raises(ValueError, match=r"needs parameters, as \[x\] or model\.parameters\(\), and was given"):
        SGD([])
    for one in (a, TwoLayers(np.random.default_rng(0))):
        with pytest.raises(ValueError, match=r"needs parameters, as \[x\] or model\.parameters\(\), and was given"):
            SGD(one)
    with pytest.raises(ValueError, match="group heads has no parameters: its settings would have no effect"):
        SGD([{"params": [a]}, {"params": [], "name": "heads"}])
    with pytest.raises(ValueError, match=r"group 1: some parameters appear in more than one parameter group"):
        SGD([{"params": [a]}, {"params": [b, a]}])
    with pytest.raises(ValueError, match="group 0: some parameters appear in more than one"):
        SGD([a, b, a])
    with pytest.raises(ValueError, match="group 0: lr must be a number of at least 0, and is -1"):
        SGD([a], lr=-1)
    with pytest.raises(ValueError, match=r"group 0: weight_decay must be a number of at least 0, and is -0\.1"):
        AdamW([a], weight_decay=-0.1)


def test_check_finds_what_would_train_nothing():
    rng = np.random.default_rng(0)
    model, stranger = TwoLayers(rng), TwoLayers(rng)
    Adam(model.parameters()).check(model)
    Adam(model.named_parameters()).check(model)
    with pytest.raises(
        ValueError, match=r"2 trainable parameters are in no optimizer group: second\.weight, second\.bias"
    ):
        Adam(model.first.parameters()).check(model)
    model.second.freeze()
    Adam(model.first.parameters()).check(model)
    Adam(model.parameters()).check(model)  # frozen ones may be in a group, to be thawed later
    both = [*model.parameters(), *stranger.first.parameters()]
    with pytest.raises(
        ValueError, match=r"2 of the optimizer's 6 parameters are not this model's: build the optimizer"
    ):
        Adam(both).check(model)


def test_what_is_no_list_of_leaves_is_refused():
    x = Tensor(np.ones(2), requires_grad=True)
    for params in ([x * 2], [1.0]):
        with pytest.raises(ValueError, match=r"group 0: expected parameters in a list, as \[x\], and none that is the"):
            SGD(params)
    with pytest.raises(ValueError, match="group 0: lr must be a number of at least 0, and is '1e-3'"):
        AdamW([x], lr="1e-3")
    SGD([x], lr=np.float32(0.1))


def test_loading_a_state_of_other_groups_is_refused():
    a, b = Parameter(np.ones(2)), Parameter(np.ones(2))
    state = Adam([a, b]).state_dict()
    with pytest.raises(ValueError, match=r"groups of \[1\] parameters, the saved state of \[2\]"):
        Adam([a]).load_state_dict(state)


def stepped(kind, shape=(3, 2), **options):
    p = Parameter(np.ones(shape))
    p.grad = np.ones(shape)
    optimizer = kind([p], **options)
    optimizer.step()
    return optimizer


@pytest.mark.parametrize(
    ("saved", "into"),
    [
        (stepped(Adam, (2, 3)), stepped(Adam)),
        (stepped(Adam, (6,)), stepped(Adam)),
        (stepped(SGD, momentum=0.9), stepped(Adam)),
        (stepped(Adam), stepped(SGD, momentum=0.9)),
        (stepped(SGD), stepped(Adam)),
    ],
    ids=["turned", "flat", "SGD with momentum in Adam", "Adam in SGD", "SGD in Adam"],
)
def test_a_state_of_another_kind_or_shape_is_refused_and_nothing_is_loaded(saved, into):
    before = pickle.dumps(into.state_dict())
    saved.param_groups[0]["lr"] = 0.77
    with pytest.raises(ValueError, match="state"):
        into.load_state_dict(saved.state_dict())
    assert pickle.dumps(into.state_dict()) == before


@pytest.mark.parametrize("bad", [{"learning_rate": 5}, {"lr": -3.0}, {"weight_decay": math.nan}], ids=str)
def test_settings_that_a_group_may_not_have_cannot_be_loaded_either(bad):
    state = stepped(Adam).state_dict()
    state["param_groups"][0].update(bad)
    with pytest.raises(ValueError, match=next(iter(bad))):
        stepped(Adam).load_state_dict(state)


@pytest.mark.parametrize(
    ("key", "hint"),
    [("learning_rate", "choose from"), ("Lr", "choose from"), ("momentum", "choose from"), ("betass", "betas")],
)
def test_an_unknown_setting_of_a_group_is_refused(key, hint):
    with pytest.raises(ValueError, match=f"group heads: unknown setting '{key}'.*{hint}"):
        AdamW([{"params": [Parameter(np.ones(2))], "name": "heads", key: 5}])


@pytest.mark.parametrize("betas", [(0.9,), 0.9, (0.9, 1.0), (0.9, 0.99, 0.999)])
def test_betas_are_two(betas):
    with pytest.raises(ValueError, match=r"betas must be two numbers in \[0, 1\)"):
        Adam([Parameter(np.ones(2))], betas=betas)


def test_the_loaded_state_is_a_copy():
    a = Parameter(np.ones(2))
    first = Adam([a])
    a.grad = np.ones(2)
    first.step()
    state = first.state_dict()
    second = Adam([a])
    second.load_state_dict(state)
    second.step()
    assert state["state"][0]["exp_avg"].tolist() == first.state[a]["exp_avg"].tolist() == pytest.approx([0.1, 0.1])


def test_an_optimizer_without_a_rule():
    a = Parameter(np.ones(2))
    a.grad = np.ones(2)
    with pytest.raises(NotImplementedError):
        Optimizer([a], {"lr": 1.0, "weight_decay": 0.0}).step()


# -- clipping -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("max_norm", [0.5, 3.0, 1e6])
def test_clipping_is_torchs(max_norm):
    ours = parameters()
    twins = {n: torch.tensor(p.data, requires_grad=True) for n, p in ours.items()}
    for n, grad in next(iter(gradients(1))).items():
        ours[n].grad, twins[n].grad = grad.copy(), torch.tensor(grad)
    norm = clip_grad_norm_(ours.values(), max_norm)
    assert norm == pytest.approx(torch.nn.utils.clip_grad_norm_(twins.values(), max_norm).item())
    for n, p in ours.items():
        np.testing.assert_allclose(p.grad, twins[n].grad, rtol=1e-5)
        assert (norm > max_norm) == (not np.array_equal(p.grad, next(iter(gradients(1)))[n])) or not p.grad.any()


def test_clipping_passes_over_frozen_parameters_and_missing_gradients():
    a, frozen, none = (Parameter(np.ones(2)) for _ in range(3))
    a.grad, frozen.grad = np.array([3.0, 4]), np.array([1e9, 1e9])
    frozen.requires_grad = False
    assert clip_grad_norm_(iter([a, frozen, none]), 1.0) == 5
    np.testing.assert_allclose(a.grad, [0.6, 0.8], rtol=1e-6)
    assert frozen.grad.tolist() == [1e9, 1e9]
    assert clip_grad_norm_([none], 1.0) == 0


# -- schedules ------------------------------------------------------------------------------------------------

HALF_WAVE = [1, (1 + math.sqrt(0.5)) / 2, 0.5, (1 - math.sqrt(0.5)) / 2, 0]


@pytest.mark.parametrize(
    ("schedule", "warmup", "expected"),
    [
        # transformers' get_{constant,linear,cosine}_schedule_with_warmup(optimizer, warmup, 6), steps 0 to 7
        ("constant", 2, [0, 0.5, 1, 1, 1, 1, 1, 1]),
        ("constant", 0, [1, 1, 1, 1, 1, 1, 1, 1]),
        ("constant", 1, [0, 1, 1, 1, 1, 1, 1, 1]),
        ("linear", 5, [0, 0.2, 0.4, 0.6, 0.8, 1, 0, 0]),
        ("cosine", 5, [0, 0.2, 0.4, 0.6, 0.8, 1, 0, 1]),  # past its end the wave goes up again, there as here
        ("linear", 2, [0, 0.5, 1, 0.75, 0.5, 0.25, 0, 0]),
        ("linear", 0, [1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6, 0, 0]),
        ("linear", 6, [0, 1 / 6, 2 / 6, 3 / 6, 4 / 6, 5 / 6, 0, 0]),
        ("cosine", 2, [0, 0.5, *HALF_WAVE, HALF_WAVE[3]]),
        ("cosine", 0, [(1 + math.cos(math.pi * step / 6)) / 2 for step in range(8)]),
    ],
)
def test_factors(schedule, warmup, expected):
    assert [factor(schedule, warmup, 6)(step) for step in range(8)] == pytest.approx(expected, abs=1e-15)


def test_a_schedule_that_there_is_not_is_no_factor():
    with pytest.raises(KeyError, match="cosine_with_warmup"):
        factor("cosine_with_warmup", 10, 100)


@pytest.mark.parametrize("name", SCHEDULES)
def test_groups_keep_their_proportions(name):
    a, b = Parameter(np.ones(2)), Parameter(np.ones(2))
    optimizer = SGD([{"params": [a], "lr": 0.1}, {"params": [b], "lr": 0.001}])
    schedule = LambdaLR(optimizer, factor(name, 3, 10))
    seen = []
    for _ in range(10):
        seen.append(schedule.get_last_lr())
        assert [g["lr"] for g in optimizer.param_groups] == seen[-1]
        a.grad = np.ones(2)
        optimizer.step()
        schedule.step()
    expected = [factor(name, 3, 10)(step) for step in range(10)]
    np.testing.assert_allclose(seen, np.outer(expected, [0.1, 0.001]), rtol=1e-12)
    assert a.data[0] == pytest.approx(1 - 0.1 * sum(expected))


def test_lambda_lr_is_torchs():
    ours = SGD([{"params": [Parameter(np.ones(2))], "lr": 0.3}, {"params": [Parameter(np.ones(2))], "lr": 0.07}])
    theirs = torch.optim.SGD([{"params": [torch.ones(2)], "lr": 0.3}, {"params": [torch.ones(2)], "lr": 0.07}])
    factor = lambda step: 0.9**step + 0.1 * (step % 2)  # noqa: E731
    schedule, twin = LambdaLR(ours, factor), torch.optim.lr_scheduler.LambdaLR(theirs, factor)
    for _ in range(6):
        assert schedule.get_last_lr() == pytest.approx(twin.get_last_lr(), rel=1e-14)
        theirs.step()
        schedule.step()
        twin.step()
    assert schedule.last_step == 6


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("at", [0, 1, 4, 9])
def test_a_schedule_goes_on_where_it_was(name, at):
    """With the rates it started from, though the new optimizer was made with others."""

    def made(lrs):
        optimizer = SGD([{"params": [Parameter(np.ones(2))], "lr": lr} for lr in lrs])
        return LambdaLR(optimizer, factor(name, 3, 10))

    straight, expected = made([0.1, 0.001]), []
    for _ in range(10):
        expected.append(straight.get_last_lr())
        straight.step()
    first = made([0.1, 0.001])
    for _ in range(at):
        first.step()
    state = pickle.loads(pickle.dumps(first.state_dict()))
    first.step()
    again = made([7.0, 7.0])
    again.load_state_dict(state)
    for step in range(at, 10):
        assert again.get_last_lr() == expected[step]
        again.step()
    with pytest.raises(ValueError, match="the schedule has 1 rates, the state 2"):
        made([0.1]).load_state_dict(state)


def test_a_loaded_schedule_says_its_rates_to_the_groups():
    a, b = (LambdaLR(SGD([Parameter(np.ones(2))], lr=lr), factor("linear", 3, 10)) for lr in (0.1, 7.0))
    b.load_state_dict(a.state_dict())
    assert b.optimizer.param_groups[0]["initial_lr"] == 0.1


def test_weight_average_of_a_part_that_freezes_and_thaws():
    """Frozen midway, it becomes what it is frozen at; thawed, it averages on from there; the rest never stops."""
    layer = Linear(3, 2, rng=np.random.default_rng(0)).to(np.float64)
    ours, rng = WeightAverage(layer, decay=0.9), np.random.default_rng(1)
    expected = {p: p.data.copy() for p in layer.parameters()}
    for step in range(1, 10):
        layer.bias.requires_grad = not 4 <= step < 7
        for p in layer.parameters():
            if p.requires_grad:
                p.data += rng.normal(size=p.shape)
        ours.update()
        keep = min(0.9, (1 + step) / (10 + step))
        for p, average in expected.items():
            average[...] = keep * average + (1 - keep) * p.data if p.requires_grad else p.data
        with ours.applied():
            for p, average in expected.items():
                np.testing.assert_allclose(p.data, average, rtol=1e-12, err_msg=str(step))


def test_weight_average_follows_its_formula_and_leaves_frozen_weights_alone():
    layer = Linear(3, 2, rng=np.random.default_rng(0)).to(np.float64)
    layer.bias.requires_grad = False
    ours = WeightAverage(layer, decay=0.5)
    rng, theirs, frozen = np.random.default_rng(1), layer.weight.data.copy(), layer.bias.data.copy()
    for step in range(1, 12):
        layer.weight.data += rng.normal(size=(2, 3))
        layer.bias.data += 1  # what an optimizer would never do to a frozen weight
        ours.update()
        keep = min(0.5, (1 + step) / (10 + step))
        theirs = keep * theirs + (1 - keep) * layer.weight.data
    own = {name: array.copy() for name, array in layer.state_dict().items()}
    with ours.applied():
        np.testing.assert_allclose(layer.weight.data, theirs, rtol=1e-12)
        np.testing.assert_array_equal(layer.bias.data, frozen)
    for name, array in layer.state_dict().items():
        np.testing.assert_array_equal(array, own[name])


# -- tables of which only some rows have a gradient -----------------------------------------------------------


def table_steps(kind, options, sparse, *, restart_at=None, steps=40, max_norm=None):
    """A table of 200 rows, of which more and more are looked up; the last 50 never are."""
    rng = np.random.default_rng(3)
    table = Parameter(np.random.default_rng(0).normal(size=(200, 6)))
    optimizer = kind([table], **options)
    for step in range(steps):
        if step == restart_at:
            state, table = optimizer.state_dict(), Parameter(table.data.copy())
            optimizer = kind([table], **options)
            optimizer.load_state_dict(state)
        optimizer.zero_grad()
        ids = rng.integers(20 + 130 * step // steps, size=(4, 5))
        (F.embedding(ids, table, sparse) * rng.normal(size=(4, 5, 6))).sum().backward()
        assert isinstance(table.grad, RowGradient) == sparse
        if max_norm:
            clip_grad_norm_([table], max_norm)
        optimizer.step()
    return table.data


@each_optimizer
@pytest.mark.parametrize("block", [blocks.BLOCK, 24])
def test_row_gradients_give_the_bits_of_full_ones(name, block, monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK", block)
    kind, _, options = OPTIMIZERS[name]
    full = table_steps(kind, options, sparse=False)
    assert full.tobytes() == table_steps(kind, options, sparse=True).tobytes()
    assert full.tobytes() == table_steps(kind, options, sparse=True, restart_at=17).tobytes()
    clipped = table_steps(kind, options, sparse=False, max_norm=0.1)
    np.testing.assert_allclose(table_steps(kind, options, sparse=True, max_norm=0.1), clipped, rtol=1e-9, atol=1e-12)
    assert np.abs(clipped - full).max() > 1e-6


def test_a_row_gradient_is_an_array_to_whoever_asks():
    rows = RowGradient(np.array([2, 0, 2]), np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), (4, 2))
    dense = [[3, 4], [0, 0], [6, 8], [0, 0]]
    assert np.asarray(rows).tolist() == dense
    assert np.asarray(rows + rows).tolist() == (2 * np.array(dense)).tolist()
    assert (rows**2).sum() == (np.array(dense) ** 2).sum()
    assert (-rows / 2).tolist() == (-np.array(dense) / 2).tolist()
    full = np.ones((4, 2))
    full += rows
    for total in (rows + np.ones((4, 2)), np.ones((4, 2)) + rows, full):
        assert total.tolist() == (1 + np.array(dense)).tolist()
    assert rows.coalesce().rows.tolist() == [0, 2]
    empty = RowGradient(np.array([], int), np.zeros((0, 2)), (4, 2))
    assert not np.asarray(empty).any()


def test_a_row_gradient_is_scaled_in_place():
    """`p.grad *= 0.5`, as one writes it to clip by hand or to average over workers."""
    half = RowGradient(np.array([2, 0, 2]), np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), (4, 2))
    half *= 0.5
    assert np.asarray(half).tolist() == [[1.5, 2], [0, 0], [3, 4], [0, 0]]


def shares(step, rng, shape=(30, 4)):
    """Two shares of the gradient of a table: few rows, one of them twice, and others in each step."""
    for _ in range(2):
        ids = rng.integers(5 * step, 5 * step + 6, size=4) % shape[0]
        ids[1] = ids[0]
        yield ids, rng.normal(size=(4, shape[1]))


def dense_of(ids, values, shape=(30, 4)):
    dense = np.zeros(shape)
    np.add.at(dense, ids, values)
    return dense


KINDS = ["sparse", "dense", "sparse", "sparse", "both", "sparse", "none", "sparse", "dense", "sparse"]


@each_optimizer
@pytest.mark.parametrize("restart_at", [None, 1, 2, 3, 5])
@pytest.mark.parametrize("rate", [0.05, 0.0])
def test_full_gradients_between_row_gradients_are_not_forgotten(name, restart_at, rate):
    """What a full gradient moves goes on moving, rows in no later batch too; so do weight decay and a restart.

    Held against the same steps with full gradients, bit for bit, and against torch. `rate` 0 at first, as in a warmup.
    """
    kind, torch_kind, options = OPTIMIZERS[name]
    start = np.random.default_rng(0).normal(size=(30, 4))
    table, full = Parameter(start.copy()), Parameter(start.copy())
    twin = torch.tensor(start, requires_grad=True)
    options = {"lr": 0.05, **options}
    optimizer, other, torch_optimizer = kind([table], **options), kind([full], **options), torch_kind([twin], **options)
    rng = np.random.default_rng(1)
    for step, what in enumerate(KINDS):
        for one in (optimizer, other, torch_optimizer):
            one.param_groups[0]["lr"] = rate if step < 2 else 0.05
        if step == restart_at:
            state, table = copy.deepcopy(optimizer.state_dict()), Parameter(table.data.copy())
            optimizer = kind([table], **options)
            optimizer.load_state_dict(state)
        parts = list(shares(step, rng))
        everywhere = rng.normal(size=(30, 4)) * (what in ("dense", "both"))
        optimizer.zero_grad()
        full.grad = twin.grad = None
        if what != "none":
            for ids, values in parts:  # two backward passes to a step
                (F.embedding(ids, table, sparse=what != "dense") * values).sum().backward()
            if what in ("dense", "both"):
                (table * everywhere).sum().backward()
            assert isinstance(table.grad, RowGradient) == (what == "sparse")
            full.grad = sum(dense_of(*part) for part in parts) + everywhere
            twin.grad = torch.tensor(full.grad)
        optimizer.step()
        other.step()
        torch_optimizer.step()
        np.testing.assert_allclose(table.data, full.data, rtol=1e-12, atol=1e-14, err_msg=f"step {step}, {what}")
        np.testing.assert_allclose(table.data, twin.detach().numpy(), rtol=1e-9, atol=1e-11, err_msg=f"step {step}")
    assert np.abs(table.data - start).max() > 0.01


@each_optimizer
def test_row_gradients_equal_full_ones_bit_for_bit_in_float32(name):
    """The same shares in the same order: then the sums, and so the weights, have the same bits."""
    kind, _, options = OPTIMIZERS[name]
    start = np.random.default_rng(0).normal(size=(300, 4)).astype(np.float32)
    tables = Parameter(start.copy()), Parameter(start.copy())
    optimizers = [kind([table], **options) for table in tables]
    rng = np.random.default_rng(1)
    for what in ("rows", "all", "rows", "rows", "all", "rows"):
        ids = rng.permutation(300)[:20]
        values, everywhere = rng.normal(size=(2, 300, 4)).astype(np.float32)
        for table, optimizer, sparse in zip(tables, optimizers, (True, False), strict=True):
            dense = np.zeros_like(start)
            dense[ids] = values[ids]
            table.grad = RowGradient(ids, values[ids], start.shape) if sparse else dense
            table.grad = everywhere if what == "all" else table.grad
            optimizer.step()
    assert tables[0].data.tobytes() == tables[1].data.tobytes()


@pytest.mark.parametrize("start", ["read-only", "array", "shared by two tables"])
def test_clipping_row_gradients_writes_into_nothing_of_the_users(start):
    table, second = Parameter(np.ones((5, 3))), Parameter(np.ones((5, 3)))
    y = F.embedding(np.array([1, 3]), table, sparse=True)
    dy = np.full((2, 3), 2.0)
    if start == "shared by two tables":
        y = y + F.embedding(np.array([0, 4]), second, sparse=True)
    y.backward(np.broadcast_to(2.0, (2, 3)) if start == "read-only" else dy)
    grads = [p for p in (table, second) if p.grad is not None]
    norm = clip_grad_norm_(grads, 1.0)
    assert norm == pytest.approx(math.sqrt(24 * len(grads)))
    assert math.sqrt(sum((np.asarray(p.grad) ** 2).sum() for p in grads)) == pytest.approx(1, abs=1e-5)
    assert (dy == 2).all()
    clip_grad_norm_(grads, 0.1)
    assert math.sqrt(sum((np.asarray(p.grad) ** 2).sum() for p in grads)) == pytest.approx(0.1, abs=1e-5)


def test_sums_of_row_gradients_stay_rows_in_place_too():
    a, b = (RowGradient(np.array(rows), np.ones((2, 2)), (9, 2)) for rows in ([1, 3], [3, 8]))
    before = np.asarray(a).tolist()
    total = a
    total += b
    assert isinstance(total, RowGradient)
    assert isinstance(a + b + a, RowGradient)
    assert np.asarray(a).tolist() == before
    assert np.asarray(total)[[1, 3, 8], 0].tolist() == [1, 2, 1]


def test_a_table_used_as_a_matrix_too_has_a_full_gradient():
    table = Parameter(np.ones((5, 3)))
    (F.embedding(np.array([1, 1]), table, sparse=True).sum() + (table * 2).sum()).backward()
    assert np.asarray(table.grad).tolist() == [[2] * 3, [4] * 3, *[[2] * 3] * 3]


def test_a_frozen_group_that_is_unfrozen_trains():
    """One way to freeze: the key acts when the group is added, and `requires_grad` alone decides from then on."""
    layer = Linear(2, 2, rng=np.random.default_rng(0))
    optimizer = Adam([{"params": layer.parameters(), "frozen": True}])
    before = layer.weight.data.copy()
    for moves in (False, True):
        for p in layer.parameters():
            p.grad = np.ones(p.shape, np.float32)
        optimizer.step()
        assert (layer.weight.data != before).any() == moves
        layer.unfreeze()


def test_a_loaded_state_is_of_our_dtype_and_layout():
    """A turned buffer would be updated in a copy, a list not at all."""
    ours, other = stepped(Adam), stepped(Adam)
    state = ours.state_dict()
    kept = state["state"][0]
    state["state"][0] = {
        "step": np.array(kept["step"]),
        "exp_avg": np.asfortranarray(kept["exp_avg"]).astype(np.float64),
        "exp_avg_sq": kept["exp_avg_sq"].tolist(),
    }
    other.load_state_dict(state)
    for optimizer in (ours, other):
        for p in optimizer.param_groups[0]["params"]:
            p.data[...] = 1
            p.grad = np.full(p.shape, 0.5, p.dtype)
        optimizer.step()
    a, b = (optimizer.param_groups[0]["params"][0].data for optimizer in (ours, other))
    np.testing.assert_array_equal(a, b)
