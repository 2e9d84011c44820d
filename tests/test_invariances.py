"""`check_invariances` passes for every kind of model, and fails for each kind of broken one."""

import math

import numpy as np
import pytest

from minitx.autograd import functional as F
from minitx.learn import invariances
from minitx.learn.invariances import TEXTS, InvarianceError, check_invariances
from minitx.models.config import EncoderConfig
from minitx.models.encoder import SentenceEncoder
from minitx.models.multitask import MultiTaskModel
from minitx.text.bpe import BPETokenizer
from minitx.training.optim import SGD


@pytest.fixture(scope="module")
def tokenizer():
    return BPETokenizer.train(TEXTS * 3, vocab_size=300)


def encoder_of(tokenizer, **options):
    options = {"hidden_size": 16, "num_layers": 2, "num_heads": 2, "intermediate_size": 24, "max_length": 80, **options}
    config = EncoderConfig(tokenizer.vocab_size, pad_id=tokenizer.pad_id, **options)
    return SentenceEncoder(config, tokenizer, rng=np.random.default_rng(0))


def model_of(tokenizer, **options):
    heads = {"sentiment": 3, "topic": ["app", "price"]}
    return MultiTaskModel(encoder_of(tokenizer, **options), heads, rng=np.random.default_rng(1))


def broken(model, tokenizer, **options):
    return {i.name: i for i in check_invariances(model, tokenizer, raise_exception=False, **options) if not i.holds}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"norm_first": True, "positions": "learned", "pooling": "max", "activation": "relu"},
        {"pooling": "cls", "normalize": True},
        {"max_length": 40},  # the longest text has more tokens than this
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_model_holds(tokenizer, options, dtype):
    results = check_invariances(model_of(tokenizer, **options).to(dtype), tokenizer)
    assert len(results) == 5 + 2 * 3 + 2
    assert any(i.worst > 0 for i in results), "different batches are different sums: bits may differ, and do"


def test_an_encoder_alone_holds(tokenizer):
    assert len(check_invariances(encoder_of(tokenizer), tokenizer)) == 5 + 2 * 3


def test_the_model_is_left_as_it_was(tokenizer):
    model = model_of(tokenizer).train()
    model.encoder.embedding.freeze()
    model.heads["topic"].eval()
    before = {name: p.data.tobytes() for name, p in model.named_parameters()}
    state = model.encoder.dropout.rng.bit_generator.state["state"]["state"].tolist()
    check_invariances(model, tokenizer)
    assert {name: p.data.tobytes() for name, p in model.named_parameters()} == before
    assert [name for name, p in model.named_parameters() if not p.requires_grad] == ["encoder.embedding.weight"]
    assert all(p.grad is None for p in model.parameters())
    assert (model.training, model.encoder.training, model.heads["topic"].training) == (True, True, False)
    assert model.encoder.dropout.rng.bit_generator.state["state"]["state"].tolist() == state


def test_the_same_seed_gives_the_same_numbers(tokenizer):
    first, again = (check_invariances(model_of(tokenizer), tokenizer, seed=3) for _ in range(2))
    assert first == again


# -- broken on purpose ----------------------------------------------------------------------------------------


class MeanOverPadding(SentenceEncoder):
    def forward(self, ids, attention_mask):
        return self.transformer(self.embedding(ids), attention_mask).mean(dim=1)


class NoAttentionMask(SentenceEncoder):
    def forward(self, ids, attention_mask):
        return self.pooling(self.transformer(self.embedding(ids), None), attention_mask)


class MaskFromIds(SentenceEncoder):
    def forward(self, ids, attention_mask):
        return super().forward(ids, ids != self.config.pad_id)


class BatchNorm(SentenceEncoder):
    def forward(self, ids, attention_mask):
        x = super().forward(ids, attention_mask)
        return x - x.mean(dim=0, keepdim=True)


class ForgetsOrder(SentenceEncoder):
    def forward(self, ids, attention_mask):
        x = super().forward(ids, attention_mask)
        return x + np.arange(len(ids), dtype=np.float32)[:, None]


class NotANumber(SentenceEncoder):
    def forward(self, ids, attention_mask):
        return super().forward(ids, attention_mask) * math.nan


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        (MeanOverPadding, {"one batch of all", "batch size", "batch order", "length of padding", "content of padding"}),
        (NoAttentionMask, {"one batch of all", "batch size", "batch order", "length of padding", "content of padding"}),
        (MaskFromIds, {"content of padding"}),
        (BatchNorm, {"one batch of all", "batch size", "batch order", "length of padding", "content of padding"}),
        (ForgetsOrder, {"one batch of all", "batch size", "batch order", "length of padding", "content of padding"}),
        (NotANumber, {"one batch of all", "batch size", "batch order", "length of padding", "content of padding"}),
    ],
)
def test_a_vector_that_depends_on_its_batch_is_found(tokenizer, kind, names):
    encoder = encoder_of(tokenizer)
    encoder.__class__ = kind
    found = {name.split(": ")[1] for name in broken(encoder, tokenizer) if name.startswith("a vector")}
    assert found == names
    with pytest.raises(InvarianceError, match=r"a vector does not depend on: .*, allowed 1.19e-05"):
        check_invariances(encoder, tokenizer)


class WritesIntoItsWeights(SentenceEncoder):
    def forward(self, ids, attention_mask):
        self.norm.weight.data *= 1.001
        return super().forward(ids, attention_mask)


def test_frozen_parameters_that_move_are_found(tokenizer):
    encoder = encoder_of(tokenizer)
    encoder.__class__ = WritesIntoItsWeights
    assert (
        "frozen parameters that SGD moved" in broken(encoder, tokenizer)
        or [p is encoder.norm.weight for p in encoder.parameters()].index(True) % 2
    )
    encoder = encoder_of(tokenizer, positions="learned")  # one parameter more in front: the other half is frozen
    encoder.__class__ = WritesIntoItsWeights
    assert broken(encoder, tokenizer)["frozen parameters that SGD moved"].worst == 1


class DecaysFrozenOnes(SGD):
    def step(self):
        super().step()
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.data *= 1 - group["lr"] * group["weight_decay"]


class StepsFrozenOnes(SGD):
    """Zeros for a gradient that is None: then momentum goes on moving what has been frozen."""

    def step(self):
        parameters = [p for group in self.param_groups for p in group["params"]]
        flags = [p.requires_grad for p in parameters]
        for parameter in parameters:
            parameter.requires_grad = True
            if parameter.grad is None:
                parameter.grad = np.zeros_like(parameter.data)
        super().step()
        for parameter, flag in zip(parameters, flags, strict=True):
            parameter.requires_grad = flag


@pytest.mark.parametrize("kind", [DecaysFrozenOnes, StepsFrozenOnes])
def test_an_optimizer_that_moves_frozen_parameters_is_found(tokenizer, kind, monkeypatch):
    make = lambda parameters: kind(parameters, lr=0.01, momentum=0.9, weight_decay=0.1)  # noqa: E731
    monkeypatch.setattr(invariances, "OPTIMIZERS", (make,))
    found = broken(model_of(tokenizer), tokenizer)
    assert set(found) == {f"frozen parameters that {kind.__name__} moved"}


class Detached(SentenceEncoder):
    def forward(self, ids, attention_mask):
        x = self.norm(self.embedding(ids).detach())
        return self.pooling(self.transformer(x, attention_mask), attention_mask)


def test_parameters_that_do_not_learn_are_found(tokenizer):
    encoder = encoder_of(tokenizer, positions="learned")
    encoder.__class__ = Detached  # embedding and position get no gradient
    assert broken(encoder, tokenizer)["trainable parameters that AdamW did not move"].worst == 1


def test_a_head_with_an_opinion_is_found(tokenizer):
    model = model_of(tokenizer)
    model.heads["topic"].bias.data[0] = 1
    found = broken(model, tokenizer)
    assert set(found) == {"first loss of topic is ln(2)"}
    expected = np.mean([-math.log(1 / (1 + math.exp(-1))), -math.log(1 / (1 + math.e))]) - math.log(2)
    assert found["first loss of topic is ln(2)"].worst == pytest.approx(expected, abs=0.02)
    assert not broken(model, tokenizer, untrained=False)


def test_heads_at_torchs_size_would_be_found(tokenizer):
    model = model_of(tokenizer)
    for head in model.heads.values():
        head.weight.data *= 10
    assert broken(model, tokenizer).keys() == {"first loss of sentiment is ln(3)", "first loss of topic is ln(2)"}


def test_one_text_is_no_batch(tokenizer):
    with pytest.raises(ValueError, match="at least two texts, not 1"):
        check_invariances(encoder_of(tokenizer), tokenizer, texts=["alone"])
    assert check_invariances(encoder_of(tokenizer), tokenizer, texts=["two", "texts, then"])


def test_the_first_loss_is_ln_c_in_training_too(tokenizer):
    model = model_of(tokenizer)
    ids = np.array(tokenizer.encode_batch(["great"])[:1] * 64)
    logits = model(ids, np.ones_like(ids, dtype=bool))
    loss = F.cross_entropy(logits["sentiment"], np.arange(64) % 3)
    assert loss.item() == pytest.approx(math.log(3), abs=0.05)
