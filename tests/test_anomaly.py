"""`detect_anomaly` names the first op that makes a NaN or inf, and where it was called; and costs nothing when off."""

import gc
import threading
import weakref

import numpy as np
import pytest

from minitx.autograd import functional as F
from minitx.autograd.anomaly import AnomalyError, detect_anomaly
from minitx.autograd.context import current, inherit, no_grad
from minitx.autograd.tensor import Tensor
from minitx.models.config import EncoderConfig
from minitx.models.encoder import SentenceEncoder
from minitx.models.multitask import MultiTaskModel
from minitx.nn.module import Module, Parameter

pytestmark = pytest.mark.quick

IDS = np.array([[1, 2, 3], [4, 5, 0]])
MASK = np.array([[True, True, True], [True, True, False]])


def small_model():
    rng = np.random.default_rng(0)
    config = EncoderConfig(7, hidden_size=4, num_layers=2, num_heads=2, intermediate_size=5, max_length=5)
    return MultiTaskModel(SentenceEncoder(config, rng=rng), {"a": 3}, rng=rng)


def loss_of(model):
    return F.cross_entropy(model(IDS, MASK)["a"], np.array([0, 2]))


@pytest.mark.parametrize(
    ("func", "message"),
    [
        (lambda x: (x - 3).log() * 2, r"^Tensor.log made NaN in 2 of 4 elements, first at \(0,\) in the forward pass"),
        (lambda x: (x * 1000).exp() - 1, "^Tensor.exp made inf in 4 of 4 elements"),
        (lambda x: -1 / (x - 2) + x, "^Tensor.__truediv__ made -inf in 1 of 4 elements"),
        (lambda x: F.softmax(x * np.inf), r"^Tensor.__mul__ was given, and passed on, inf.*input 1 \(leaf, shape \(\)"),
    ],
)
def test_names_the_op_of_the_forward_pass(func, message):
    x = Tensor(np.array([1.0, 2, 3, 4]), requires_grad=True)
    with detect_anomaly(), pytest.raises(AnomalyError, match=message):
        func(x)
    with detect_anomaly(), no_grad(), pytest.raises(AnomalyError, match=message):
        func(x)


def test_tells_what_went_in():
    x = Tensor(np.array([[-1.0, 2], [3, 4]]))
    with detect_anomaly(), pytest.raises(AnomalyError, match=r"from input 0 \(leaf, shape \(2, 2\) from -1 to 4\)$"):
        x.log()
    with (
        detect_anomaly(),
        pytest.raises(AnomalyError, match=r"input 0 \(Tensor.exp, shape \(2,\) from 0.3679 to 2.718"),
    ):
        _ = Tensor(np.array([-1.0, 1]), requires_grad=True).exp() / np.zeros(2)


@pytest.mark.parametrize(
    ("func", "message"),
    [
        (
            lambda x: (x * 0).sqrt().sum(),
            r"^Tensor.sqrt made (inf|NaN) in 2 of 2 elements, first at \(0,\) in the backward",
        ),
        (lambda x: (x * 0).abs() ** 0.5 + x, r"^Tensor.__pow__ made inf .* derivative by input 0 \(Tensor.abs, shape"),
    ],
)
def test_names_the_op_of_the_backward_pass(func, message):
    """The forward pass is finite: the derivative of a square root at 0 is not."""
    x = Tensor(np.array([1.0, 2]), requires_grad=True)
    with detect_anomaly():
        y = func(x)
        with pytest.raises(AnomalyError, match=message):
            y.backward(np.ones(y.shape))


def test_a_gradient_that_came_in_broken_is_not_blamed_on_the_op():
    x = Tensor(np.ones(2), requires_grad=True)
    with detect_anomaly(), pytest.raises(AnomalyError, match=r"Tensor.__mul__ was given, and passed on, NaN in 1 of 2"):
        (x * 2).backward(np.array([1, np.nan]))


def test_names_the_module_of_the_forward_pass():
    model = small_model()
    model.encoder.transformer.blocks[1].feed_forward.linear2.weight.data[0] = 1e38
    model.encoder.transformer.blocks[1].feed_forward.linear2.weight.data[0, 0] = -1e38
    model.encoder.transformer.blocks[1].feed_forward.linear1.bias.data[:] = 1e3
    expected = (
        r"^linear in MultiTaskModel encoder.transformer.blocks.1.feed_forward.linear2 made -?inf in \d+ of 24 elements"
        r".* input 1 \(encoder.transformer.blocks.1.feed_forward.linear2.weight, shape \(4, 5\) from -1e\+38 to 1e\+38"
    )
    with detect_anomaly(), pytest.raises(AnomalyError, match=expected):
        loss_of(model)


def test_names_the_parameter_that_was_broken_before():
    model = small_model()
    model.encoder.norm.weight.data[2] = np.nan
    expected = r"layer_norm in MultiTaskModel encoder.norm was given.*\(encoder.norm.weight.*with NaN in 1 of 4"
    with detect_anomaly(), pytest.raises(AnomalyError, match=expected):
        loss_of(model)


class Root(Module):
    def __init__(self):
        self.scale = Parameter(np.zeros(3))

    def forward(self, x):
        return (self.scale * x).sqrt()


class Pair(Module):
    def __init__(self):
        self.first, self.second = Root(), Root()
        self.first.scale.data += 1

    def forward(self, x):
        return self.second(self.first(x))


def test_names_the_module_of_the_backward_pass():
    pair = Pair()
    with detect_anomaly():
        y = pair(Tensor(np.ones(3)))
        with pytest.raises(AnomalyError, match=r"^Tensor.sqrt in Pair second made inf in 3 of 3 elements"):
            y.sum().backward()
        with pytest.raises(AnomalyError, match=r"^Tensor.sqrt in Root made inf"):  # called by itself, it is the root
            pair.second(Tensor(np.ones(3))).backward(np.ones(3))


def test_a_module_made_on_the_spot_has_no_path():
    class Wrapper(Module):
        def forward(self, x):
            return Root()(x)

    with (
        detect_anomaly(),
        pytest.raises(AnomalyError, match="in Wrapper a Root that is none of its attributes made inf"),
    ):
        Wrapper()(Tensor(np.ones(3))).backward(np.ones(3))


def test_a_graph_from_outside_has_no_module():
    y = Root()(Tensor(np.ones(3)))
    with (
        detect_anomaly(),
        pytest.raises(AnomalyError, match=r"^Tensor.sqrt, called outside of detect_anomaly\(\), made"),
    ):
        y.backward(np.ones(3))


def test_finite_passes_are_left_alone():
    plain, watched = small_model(), small_model()
    loss_of(plain).backward()
    with detect_anomaly():
        loss_of(watched).backward()
    for a, b in zip(plain.parameters(), watched.parameters(), strict=True):
        np.testing.assert_array_equal(a.grad, b.grad)


def test_off_again_after_an_error_and_nested():
    with detect_anomaly():
        outer = current().watchers
        with pytest.raises(AnomalyError), detect_anomaly():
            Tensor(np.zeros(1)).log()
        assert len(outer) == 1
        assert current().watchers == outer
        with pytest.raises(AnomalyError):
            Tensor(np.zeros(1)).log()
    assert current().watchers == ()
    with np.errstate(divide="ignore"):
        assert Tensor(np.zeros(1)).log().item() == -np.inf


def test_keeps_no_graph_alive():
    with detect_anomaly():
        y = Tensor(np.ones(3), requires_grad=True).exp()
        ghost = weakref.ref(y)
        del y
        gc.collect()
        assert ghost() is None


def test_two_threads_have_their_own_paths():
    barrier, messages = threading.Barrier(2), {}

    class Slow(Root):
        def forward(self, x):
            barrier.wait(timeout=10)
            y = super().forward(x)
            barrier.wait(timeout=10)
            return y

    class First(Slow):
        pass

    class Second(Slow):
        pass

    def work(kind):
        with pytest.raises(AnomalyError) as caught:
            kind()(Tensor(np.ones(3))).backward(np.ones(3))
        messages[kind] = str(caught.value)

    with detect_anomaly():
        threads = [threading.Thread(target=inherit(work), args=(kind,)) for kind in (First, Second)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=20)
    assert "Tensor.sqrt in First made inf" in messages[First]
    assert "Tensor.sqrt in Second made inf" in messages[Second]
