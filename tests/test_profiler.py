"""The profile counts every op once in each direction, with its flops and its time, over all threads."""

import numpy as np
import pytest

import minitx
from minitx.autograd import functional as F
from minitx.autograd.context import current
from minitx.autograd.tensor import Tensor
from minitx.data.batches import Batch
from minitx.models.config import EncoderConfig
from minitx.models.encoder import SentenceEncoder
from minitx.models.multitask import MultiTaskModel
from minitx.training.optim import Adam
from minitx.training.parallel import DataParallel

pytestmark = pytest.mark.quick


def test_calls_and_flops_of_ops(rng):
    x, w, b = (Tensor(rng.normal(size=shape), requires_grad=True) for shape in ((2, 3, 4), (5, 4), (5,)))
    q = Tensor(rng.normal(size=(2, 6, 4)), requires_grad=True)
    with minitx.profile() as p:
        for _ in range(3):
            (F.linear(x, w, b).sum() + F.attention(q, q, q, 2).sum() + (w @ w.T).sum()).backward()
    assert current().watchers == ()
    assert {name: row.calls for name, row in p.rows.items() if "sum" not in name and "add" not in name} == {
        name + way: 3
        for name in ("linear", "attention", "Tensor.__matmul__", "Tensor.transpose")
        for way in ("", " backward")
    }
    flops = {"linear": 2 * 6 * 4 * 5, "attention": 2 * (2 * 6 * 6 * 4) * 2, "Tensor.__matmul__": 2 * 5 * 4 * 5}
    for name, expected in flops.items():
        assert p.rows[name].flops == 3 * expected
        assert p.rows[f"{name} backward"].flops == 2 * 3 * expected
    assert 0 < sum(row.seconds for row in p.rows.values()) <= p.seconds


def test_a_profile_that_was_not_entered_says_how(rng):
    p = minitx.profile()
    Tensor(np.ones(2)).exp()
    assert str(p) == "nothing is measured yet: say `with profile() as p:`, and print(p) after it"


def test_a_frozen_weight_costs_no_product(rng):
    x, w = Tensor(rng.normal(size=(3, 4)), requires_grad=True), Tensor(rng.normal(size=(5, 4)))
    with minitx.profile() as p:
        F.linear(x, w).sum().backward()
    assert p.rows["linear backward"].flops == p.rows["linear"].flops


def test_the_table_of_a_training_step(rng):
    config = EncoderConfig(50, hidden_size=8, num_layers=2, num_heads=2, intermediate_size=16, max_length=8)
    model = MultiTaskModel(SentenceEncoder(config, rng=rng), {"mood": 3}, rng=rng)
    ids = rng.integers(50, size=(6, 8))
    batch = Batch(ids, np.ones((6, 8), bool), {"mood": rng.integers(3, size=6)}, np.arange(6))
    optimizer = Adam(model.parameters())
    with DataParallel(model, 2) as parallel, minitx.profile() as p:
        parallel.backward(batch)
        optimizer.step(parallel.pool.map)
    assert p.rows["attention"].calls == p.rows["attention backward"].calls == 2 * 2  # layers, threads
    assert p.rows["Adam.step"].calls == 1
    lines = str(p).splitlines()
    assert lines[0].split() == ["op", "calls", "seconds", "share", "GFLOP/s"]
    assert len(lines) == 1 + len(p.rows) + 2
    assert any(line.split()[:2] == ["cross_entropy", "2"] for line in lines)


def test_it_ends_with_the_block_even_after_an_error():
    with pytest.raises(ZeroDivisionError), minitx.profile() as p:
        raise ZeroDivisionError
    assert current().watchers == ()
    assert p.rows == {}
    assert "from start to end" in str(p)
