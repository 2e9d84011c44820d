"""Module: names, order, nesting, modes, freezing and the strict state_dict."""

from collections import OrderedDict, deque, namedtuple

import numpy as np
import pytest
import torch

from minitx.autograd.tensor import Tensor
from minitx.nn.layers import Dropout, Linear
from minitx.nn.module import Module, Parameter
from minitx.training.optim import SGD, AdamW


class Nested(Module):
    def __init__(self, rng):
        self.first = Linear(3, 3, rng=rng)
        self.blocks = [Linear(3, 3, rng=rng), Dropout(0.5, rng=rng), Linear(3, 3, bias=False, rng=rng)]
        self.heads = {"mood": Linear(3, 2, rng=rng)}
        self.scale = Parameter(np.ones(3, np.float32))
        self.tied = self.first.weight  # the same weight under a second name
        self.width = 3

    def forward(self, x):
        for layer in (self.first, *self.blocks):
            x = layer(x)
        return self.heads["mood"](x * self.scale)


@pytest.fixture
def module(rng):
    return Nested(rng)


def test_names_follow_the_attributes_in_order(module):
    names = [name for name, _ in module.named_parameters()]
    assert names == [
        "scale",
        "tied",
        "first.bias",
        "blocks.0.weight",
        "blocks.0.bias",
        "blocks.2.weight",
        "heads.mood.weight",
        "heads.mood.bias",
    ]
    assert [name for name, _ in module.named_modules()] == [
        "",
        "first",
        "blocks.0",
        "blocks.1",
        "blocks.2",
        "heads.mood",
    ]


Pair = namedtuple("Pair", "left right")


def parameter(size=1):
    return Parameter(np.ones(size, np.float32))


class Deep(Module):
    """Modules and parameters wherever a list, a tuple or a dict can have them, beside what is none."""

    def __init__(self, rng):
        def layer():
            return Linear(2, 2, bias=False, rng=rng)

        self.pair = (layer(), layer())
        self.grid = [[layer(), layer()], [layer(), (layer(),)]]
        self.experts = {"near": [layer(), Dropout(0.5, rng=rng)], "far": {"deep": (layer(),), 3: layer()}}
        self.by_number = {0: layer(), 1: {2: layer()}}
        self.scales = [parameter(2), (parameter(3), {"offset": parameter(4)})]
        self.temperature = {"hot": parameter(5)}
        self.named = Pair(layer(), parameter(6))
        self.ordered = OrderedDict(z=layer(), a=layer())
        self.holes = [None, layer(), "text", 1.5, np.ones(2), Tensor([1.0]), {"a.b", "c"}, {(1, 2): "key"}]
        self.label = "no module"
        self.constant = Tensor(np.ones(2), requires_grad=True)  # not a Parameter


DEEP = {
    "scales.0": 2,
    "scales.1.0": 3,
    "scales.1.1.offset": 4,
    "temperature.hot": 5,
    "named.1": 6,
    "pair.0.weight": 4,
    "pair.1.weight": 4,
    "grid.0.0.weight": 4,
    "grid.0.1.weight": 4,
    "grid.1.0.weight": 4,
    "grid.1.1.0.weight": 4,
    "experts.near.0.weight": 4,
    "experts.far.deep.0.weight": 4,
    "experts.far.3.weight": 4,
    "by_number.0.weight": 4,
    "by_number.1.2.weight": 4,
    "named.0.weight": 4,
    "ordered.z.weight": 4,
    "ordered.a.weight": 4,
    "holes.1.weight": 4,
}


def test_names_at_any_depth(rng):
    deep = Deep(rng)
    assert {name: p.size for name, p in deep.named_parameters()} == DEEP
    assert [*deep.state_dict()] == [name for name, _ in deep.named_parameters()]
    modules = dict(deep.named_modules())
    assert modules.pop("") is deep
    assert {name for name in modules if name != "experts.near.1"} == {
        name.removesuffix(".weight") for name, _ in deep.named_parameters() if name.endswith("weight")
    }
    assert [name for name, _ in deep.named_modules("root")][:2] == ["root", "root.pair.0"]
    assert next(name for name, _ in deep.named_parameters("root")) == "root.scales.0"


def test_everything_reaches_any_depth(rng):
    deep, other = Deep(rng), Deep(np.random.default_rng(1))
    deep.eval()
    assert not deep.experts["near"][1].training
    assert not deep.grid[1][1][0].training
    deep.to(np.float64).freeze()
    for p in (deep.pair[0].weight, deep.scales[1][1]["offset"], deep.temperature["hot"]):
        assert not p.requires_grad
        assert p.dtype == np.float64
    deep.unfreeze()
    deep.scales[1][0].data[...] = 7
    other.load_state_dict(deep.state_dict())
    assert (other.scales[1][0].data == 7).all()
    np.testing.assert_array_equal(other.grid[0][1].weight.data, deep.grid[0][1].weight.data.astype(np.float32))
    assert deep.constant.dtype == np.float64  # as it was made; and it is in no list of parameters
    assert all(p is not deep.constant for p in deep.parameters())


def test_an_optimizer_that_misses_what_is_deep_is_refused(rng):
    deep = Deep(rng)
    shallow = [p for name, p in deep.named_parameters() if name.count(".") < 2]
    with pytest.raises(ValueError, match=r"17 trainable parameters.*scales\.1\.0.*grid\.1\.1\.0\.weight"):
        AdamW(shallow).check(deep)
    AdamW(list(deep.parameters())).check(deep)


def test_what_is_deep_is_trained(rng):
    class Stack(Module):
        def __init__(self):
            self.blocks = (
                [Linear(2, 2, rng=rng), Linear(2, 2, rng=rng)],
                {"scale": parameter(2)},
            )

        def forward(self, x):
            for layer in self.blocks[0]:
                x = layer(x)
            return x * self.blocks[1]["scale"]

    stack = Stack()
    before = {name: weights.copy() for name, weights in stack.state_dict().items()}
    stack(Tensor(rng.normal(size=(4, 2)).astype(np.float32))).backward(rng.normal(size=(4, 2)))
    SGD(list(stack.parameters()), lr=0.1).step()
    assert list(before) == [
        "blocks.1.scale",
        *(f"blocks.0.{i}.{name}" for i in range(2) for name in ("weight", "bias")),
    ]
    for name, weights in stack.state_dict().items():
        assert (weights != before[name]).any(), name


def test_names_are_torchs(rng):
    """With ModuleList, ModuleDict and ParameterList in place of lists and dicts."""

    class Twin(torch.nn.Module):
        def __init__(self):
            super().__init__()

            def layer():
                return torch.nn.Linear(2, 2, bias=False)

            self.grid = torch.nn.ModuleList([torch.nn.ModuleList([layer(), layer()]), torch.nn.ModuleList([layer()])])
            self.scales = torch.nn.ParameterList([torch.nn.Parameter(torch.ones(2))])
            self.experts = torch.nn.ModuleDict({"near": torch.nn.ModuleList([layer()]), "far": layer()})
            self.tied = self.experts["far"]

    class Ours(Module):
        def __init__(self):
            def layer():
                return Linear(2, 2, bias=False, rng=rng)

            self.grid = [[layer(), layer()], [layer()]]
            self.scales = [parameter(2)]
            self.experts = {"near": [layer()], "far": layer()}
            self.tied = self.experts["far"]

    assert {name for name, _ in Ours().named_parameters()} == {name for name, _ in Twin().named_parameters()}


def test_what_occurs_twice_is_given_once_under_its_first_name(rng):
    module, layer, scale = Module(), Linear(2, 2, rng=rng), parameter()
    module.first = [layer, layer]
    module.again = {"same": layer, "scale": scale}
    module.inner = Module()
    module.inner.layer, module.inner.scale, module.inner.up = layer, scale, module
    assert [name for name, _ in module.named_parameters()] == ["again.scale", "first.0.weight", "first.0.bias"]
    assert [(name, m) for name, m in module.named_modules()] == [
        ("", module),
        ("first.0", layer),
        ("inner", module.inner),
    ]
    assert list(module.modules()) == [module, layer, module.inner]
    assert module.num_parameters() == 7
    module.eval()  # and no recursion without end
    assert not module.inner.training


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (lambda layer: {layer}, r"'parts' is a set that holds parts\.0: use a list, a tuple, or a dict whose keys"),
        (lambda layer: frozenset({layer.weight}), r"'parts' is a frozenset"),
        (lambda layer: deque([layer]), r"'parts' is a deque"),
        (lambda layer: {(1, 2): layer}, r"'parts' is a dict that holds parts\.\(1, 2\)"),
        (lambda layer: {None: layer.weight}, r"'parts' is a dict that holds parts\.None"),
        (lambda layer: {"a.b": layer}, r"'parts' is a dict that holds parts\.a\.b"),
        (lambda layer: {"a.b": [[layer]]}, r"'parts' is a dict that holds parts\.a\.b\.0\.0"),
        (lambda layer: [{"a": ({layer},)}], r"'parts\.0\.a\.0' is a set that holds parts\.0\.a\.0\.0"),
        (lambda layer: {(layer, layer)}, r"'parts' is a set"),
    ],
)
def test_where_modules_cannot_be_named_they_are_refused(value, message, rng):
    module = Module()
    module.outer = Module()
    module.outer.parts = value(Linear(2, 2, rng=rng))
    message = message.replace("parts", r"outer\.parts")
    for call in (module.state_dict, module.eval, module.num_parameters, lambda: list(module.modules())):
        with pytest.raises(TypeError, match=message):
            call()


def test_counts(module):
    assert module.num_parameters() == 3 + 9 + 3 + 12 + 9 + 8
    module.blocks[0].freeze()
    assert module.num_parameters(trainable=True) == module.num_parameters() - 12


def test_an_unknown_attribute_is_an_error(module):
    with pytest.raises(AttributeError):
        _ = module.frist
    with pytest.raises(NotImplementedError, match="Module has no forward"):
        Module()()


def test_train_and_eval_reach_lists_and_dicts(module):
    module.eval()
    assert not any(m.training for m in module.modules())
    module.train()
    assert all(m.training for m in module.modules())


def test_gradients_flow_through_a_frozen_layer_but_not_into_it(module, rng):
    module.eval()
    module.blocks[0].freeze()
    module(Tensor(rng.normal(size=(4, 3)).astype(np.float32))).backward(rng.normal(size=(4, 2)))
    assert module.blocks[0].weight.grad is None
    assert module.first.weight.grad.any()
    module.unfreeze()
    assert all(p.requires_grad for p in module.parameters())


def test_nothing_is_recorded_below_a_frozen_bottom(module):
    module.first.freeze()
    below = module.first(Tensor(np.ones((1, 3), np.float32)))
    assert not below.requires_grad
    assert below.parents == ()


def test_freezing_forgets_the_gradient(module, rng):
    module.eval()
    module(Tensor(rng.normal(size=(4, 3)).astype(np.float32))).backward(rng.normal(size=(4, 2)))
    module.freeze()
    assert all(p.grad is None for p in module.parameters())


def test_state_dict_round_trip(module):
    other = Nested(np.random.default_rng(99))
    assert (other.scale.data == module.scale.data).all()
    module.scale.data[...] = [4, 5, 6]
    assert other.load_state_dict(module.state_dict()) == ([], [])
    for name, array in module.state_dict().items():
        np.testing.assert_array_equal(array, other.state_dict()[name])
        assert not np.shares_memory(array, other.state_dict()[name])


def test_state_dict_is_strict_and_lists_every_problem(module):
    before = {name: array.copy() for name, array in module.state_dict().items()}
    state = {**before, "extra": np.zeros(1), "scale": np.zeros((2, 2), np.float32)}
    del state["first.bias"]
    with pytest.raises(ValueError, match="size mismatch for scale") as error:
        module.load_state_dict(state)
    message = str(error.value)
    assert "(2, 2) where the model has (3,)" in message
    assert "missing first.bias" in message
    assert "unexpected extra" in message
    assert "\n" not in message
    for name, array in module.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_not_strict_returns_what_did_not_match(module):
    assert module.load_state_dict({"scale": np.full(3, 7.0), "extra": np.zeros(1)}, strict=False)[1] == ["extra"]
    assert (module.scale.data == 7).all()
    assert module.scale.dtype == np.float32


def test_to_takes_the_device_where_everything_is(rng):
    layer = Linear(2, 3, rng=rng)
    assert layer.to("cpu") is layer
    with pytest.raises(TypeError, match="computes on the CPU, not on 'cuda:0'"):
        layer.to("cuda:0")
    assert layer.weight.dtype == np.float32
