"""Module: names, order, modes, freezing and the strict state_dict."""

import numpy as np
import pytest

from minitx.autograd.tensor import Tensor
from minitx.nn.layers import Dropout, Linear
from minitx.nn.module import Module, Parameter


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
