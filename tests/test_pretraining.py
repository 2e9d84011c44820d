"""Learning before labels: the losses beside torch, the loop's bits, the commands, and pretraining in `train`."""

import math
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import TINY
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
from test_cli import elsewhere, refused, run  # noqa: F401 - a fixture
from test_contrastive import Passing

from minitx.app.cli import main
from minitx.app.prepare import prepare
from minitx.app.settings import Experiment, experiment_of
from minitx.autograd.context import inference
from minitx.autograd.tensor import Tensor
from minitx.data.batches import Batch, TokenisedRows, pad
from minitx.data.split import normalise
from minitx.errors import InputError
from minitx.models.config import EncoderConfig
from minitx.models.encoder import SentenceEncoder
from minitx.nn.layers import Dropout
from minitx.text.bpe import BPETokenizer
from minitx.text.spec import TokenizerSpec
from minitx.text.specials import SpecialToken
from minitx.text.wordpiece import WordPieceTokenizer
from minitx.training.distillation import Distillation, neighbour_overlap, student_of
from minitx.training.mlm import MaskedLanguageModel
from minitx.training.pretraining import Objective, fit_texts
from minitx.training.simcse import SimCSE

NAMES, THINGS = ["ann", "bob", "cid", "dee"], ["tea", "ale", "rum", "gin"]
TEXTS = [f"{name} likes {thing}" for name in NAMES for thing in THINGS]


def new_encoder(texts=TEXTS, seed=0, **sizes):
    tokenizer = BPETokenizer.train(texts, vocab_size=320)
    sizes = {"hidden_size": 32, "num_layers": 2, "num_heads": 2, "intermediate_size": 64, "max_length": 32} | sizes
    config = EncoderConfig(tokenizer.vocab_size, tokenizer.pad_id, **sizes)
    return SentenceEncoder(config, tokenizer, rng=np.random.default_rng(seed))


def batch_of(sequences, pad_id=0, **labels):
    return Batch(*pad(sequences, pad_id), labels, np.arange(len(sequences)))


def wordpieces():
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words = sorted({word for text in TEXTS for word in text.split()})
    vocab = {token: id for id, token in enumerate([*special, *words])}
    tokens = [SpecialToken(token, vocab[token]) for token in special]
    return WordPieceTokenizer(TokenizerSpec("WordPiece", vocab, tokens, ["[CLS]"], ["[SEP]"]))


# -- the losses ------------------------------------------------------------------------------------------------


def test_the_masked_language_model_is_the_loss_of_torch(rng):
    """BertForMaskedLM's: logits over the whole vocabulary at every place, and -100 where nothing is asked."""
    encoder = new_encoder(dropout=0.0).to(np.float64)
    mlm = MaskedLanguageModel(encoder, encoder.tokenize(TEXTS))
    batch = mlm.ask(batch_of(encoder.tokenize([*TEXTS, "ann"])), rng)
    loss = mlm.loss(mlm.outputs(batch), batch)
    loss.backward()

    h = encoder.token_embeddings(batch.ids, batch.attention_mask)
    states, table, bias = (
        torch.tensor(x, requires_grad=True) for x in (h.data, encoder.embedding.weight.data, mlm.bias.data)
    )
    logits = states @ table.T + bias
    theirs = torch.nn.functional.cross_entropy(logits.flatten(0, 1), torch.tensor(batch.labels["token"]).flatten())
    theirs.backward()
    assert loss.item() == pytest.approx(theirs.item(), abs=1e-12)
    np.testing.assert_allclose(mlm.bias.grad, bias.grad, atol=1e-12)

    tied = np.asarray(encoder.embedding.weight.grad)  # by the way in and by the way out
    encoder.zero_grad()
    h.backward(states.grad.numpy())
    np.testing.assert_allclose(tied, np.asarray(encoder.embedding.weight.grad) + table.grad.numpy(), atol=1e-12)


def test_simcse_is_sentence_transformers_loss_on_each_text_and_itself(rng):
    data = rng.normal(size=(6, 2, 5))
    ours, theirs = Tensor(data, requires_grad=True), torch.tensor(data, requires_grad=True)
    loss = SimCSE(new_encoder()).loss(ours, batch_of([[1]] * 6))
    columns = [{"sentence_embedding": theirs[:, view]} for view in range(2)]
    expected = MultipleNegativesRankingLoss(Passing(), scale=20.0)(columns, None)
    assert loss.item() == pytest.approx(expected.item(), abs=1e-12)
    loss.backward()
    expected.backward()
    np.testing.assert_allclose(ours.grad, theirs.grad, atol=1e-12)


def test_simcse_sees_a_text_under_two_dropout_masks():
    encoder = new_encoder(dropout=0.3).train()
    both = SimCSE(encoder).outputs(batch_of(encoder.tokenize(TEXTS))).data
    assert both.shape == (16, 2, 32)
    assert np.abs(both[:, 0] - both[:, 1]).max() > 0.01


# -- what is asked ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["BPE", "WordPiece"])
def test_of_the_tokens_15_percent_are_asked_and_of_these_80_are_masked_10_replaced_10_stay(kind, rng):
    encoder = new_encoder(max_length=64)
    if kind == "WordPiece":
        tokenizer = wordpieces()
        config = EncoderConfig(tokenizer.vocab_size, tokenizer.pad_id, 16, 1, 2, 32, 64)
        encoder = SentenceEncoder(config, tokenizer, rng=rng)
    sequences = encoder.tokenize([" ".join(["ann likes tea"] * 9)] * 1000 + ["ann"] * 50)
    mlm = MaskedLanguageModel(encoder, sequences)
    before = batch_of(sequences)
    after = mlm.ask(before, rng)
    asked = after.labels["token"] >= 0
    special = [token.id for token in encoder.tokenizer.spec.special_tokens]

    assert asked.any(axis=1).all()  # also of a text of one token
    assert asked[:1000].sum() / (before.attention_mask[:1000].sum() - 2000) == pytest.approx(0.15, abs=0.01)
    np.testing.assert_array_equal(after.labels["token"][asked], before.ids[asked])
    np.testing.assert_array_equal(after.ids[~asked], before.ids[~asked])
    assert not np.isin(before.ids[asked], special).any()
    masked = after.ids[asked] == encoder.tokenizer.token_to_id("[MASK]")
    stay = after.ids[asked] == before.ids[asked]
    assert masked.mean() == pytest.approx(0.8, abs=0.03)
    assert (~masked & ~stay).mean() == pytest.approx(0.1, abs=0.03)
    assert not np.isin(after.ids[asked][~masked], special).any()
    assert len(set(after.ids[asked][~masked & ~stay].tolist())) > 5
    assert not np.array_equal(mlm.ask(before, rng).ids, after.ids)  # anew each time


def test_without_a_mask_token_or_anything_to_mask_it_is_refused(rng):
    tokenizer = BPETokenizer.train(TEXTS, vocab_size=320, special_tokens=("[PAD]", "[CLS]", "[SEP]"))
    encoder = SentenceEncoder(EncoderConfig(tokenizer.vocab_size, hidden_size=8, num_heads=1), tokenizer, rng=rng)
    with pytest.raises(InputError, match=r"with a mask token is needed; looked for <mask> and \[MASK\]"):
        MaskedLanguageModel(encoder, encoder.tokenize(TEXTS))
    encoder.tokenizer = None
    with pytest.raises(InputError, match="a tokenizer with a mask token is needed"):
        MaskedLanguageModel(encoder, [[1]])


# -- the loop --------------------------------------------------------------------------------------------------


def fitted(objective, sequences, labels=None, **how):
    how = {"lr": 3e-3, "epochs": 3, "batch_size": 8, "rng": np.random.default_rng(1)} | how
    return fit_texts(objective, TokenisedRows(sequences, labels or {}), **how)


MAKE = {"mlm": lambda e, s: MaskedLanguageModel(e, s), "simcse": lambda e, s: SimCSE(e)}


@pytest.mark.parametrize("name", MAKE)
def test_the_same_seed_gives_the_same_bits_whatever_the_number_of_threads(name):
    def learn(seed, threads):
        encoder = new_encoder()
        sequences = encoder.tokenize(TEXTS)
        losses = fitted(MAKE[name](encoder, sequences), sequences, rng=np.random.default_rng(seed), threads=threads)
        return str(losses), b"".join(w.tobytes() for w in encoder.state_dict().values())

    first = learn(1, 1)
    assert first == learn(1, 1) == learn(1, 2) == learn(1, 3)
    assert first != learn(2, 1)


@pytest.mark.parametrize("name", [*MAKE, "distillation"])
def test_shares_add_up_to_the_gradient_of_the_whole_batch(name, monkeypatch):
    """One step of SGD-like size on one batch, in one share and in four; without dropout, so that both see the same."""
    weights = []
    for shares in (1, 4):
        monkeypatch.setattr("minitx.training.pretraining.SHARES", shares)
        encoder = new_encoder().to(np.float64)
        sequences = encoder.tokenize(TEXTS)
        teacher = new_encoder(num_layers=4).to(np.float64)
        objective = Distillation(encoder, teacher) if name == "distillation" else MAKE[name](encoder, sequences)
        fitted(objective, sequences, batch_size=16, dropout=0.0, epochs=2)
        weights.append(encoder.state_dict())
    for key, one in weights[0].items():
        np.testing.assert_allclose(one, weights[1][key], atol=1e-7)


def test_a_toy_language_is_guessed():
    """Three words; the first is a name, the last a drink, and four names drink always the same."""
    texts = [f"{name} likes {thing}" for name, thing in zip(NAMES, THINGS, strict=True)] * 30
    encoder = new_encoder(texts)
    sequences = encoder.tokenize(texts)
    mlm = MaskedLanguageModel(encoder, sequences)
    losses = fitted(mlm, sequences, epochs=8, batch_size=16, lr=5e-3)
    assert losses[-1][0] < 0.5 * losses[0][0]
    for name, thing in zip(NAMES, THINGS, strict=True):
        ids = encoder.tokenizer.encode(f"{name} likes {thing}")
        p = mlm.guess(ids, len(ids) - 2)
        assert p.sum() == pytest.approx(1, abs=1e-4)
        assert encoder.tokenizer.decode([int(p.argmax())]).strip() == thing


def test_simcse_spreads_what_means_something_else():
    """At the start all vectors point the same way; afterwards they do not, and a text still is nearest to itself."""
    encoder = new_encoder()
    sequences = encoder.tokenize(TEXTS)

    def alike():
        vectors = encoder.encode_ids(sequences)
        cosines = encoder.similarity(vectors, vectors)
        return float(cosines[~np.eye(16, dtype=bool)].mean())

    before = alike()
    losses = fitted(SimCSE(encoder), sequences, epochs=15, batch_size=16)
    assert alike() < before - 0.2
    assert losses[-1][0] < losses[0][0]


def test_held_out_texts_judge_and_are_not_learned():
    encoder, other = new_encoder(), new_encoder()
    sequences = encoder.tokenize(TEXTS)
    held_out = TokenisedRows(sequences[12:], {})
    seen = []
    judged = fitted(
        MaskedLanguageModel(encoder, sequences),
        sequences[:12],
        held_out=held_out,
        on_epoch=lambda *line: seen.append(line),
    )
    alone = fitted(MaskedLanguageModel(other, sequences), sequences[:12])
    assert [loss for loss, _ in judged] == [loss for loss, _ in alone]
    assert all(math.isnan(held) for _, held in alone)
    assert [(number, *pair) for number, pair in enumerate(judged, 1)] == seen
    assert all(math.isfinite(held) for _, held in judged)
    for name, weights in encoder.state_dict().items():
        np.testing.assert_array_equal(weights, other.state_dict()[name])


@pytest.mark.parametrize("name", MAKE)
def test_only_simcse_judges_under_dropout(name):
    """At a rate of 0 the weights stay, so that dropout alone can make a difference."""
    judged = []
    for p in (0.0, 0.5):
        encoder = new_encoder()
        sequences = encoder.tokenize(TEXTS)
        held_out = TokenisedRows(sequences, {})
        ((_, loss),) = fitted(MAKE[name](encoder, sequences), sequences, held_out=held_out, lr=0.0, epochs=1, dropout=p)
        judged.append(loss)
    assert (judged[0] == judged[1]) == (name == "mlm")


def test_dropout_is_the_callers_again_also_after_an_error(monkeypatch):
    encoder = new_encoder(dropout=0.25)
    sequences, seen = encoder.tokenize(TEXTS), []

    class Broken(SimCSE):
        def loss(self, outputs, batch):
            seen.extend(m.p for m in self.encoder.modules() if isinstance(m, Dropout))
            return super().loss(outputs, batch) * math.nan

    with pytest.raises(FloatingPointError, match=r"^epoch 1/3: the loss is nan, .*: lower the learning rate$"):
        fitted(Broken(encoder), sequences, dropout=0.5)
    assert set(seen) == {0.5}
    assert {m.p for m in encoder.modules() if isinstance(m, Dropout)} == {0.25}
    encoder.freeze()
    with pytest.raises(ValueError, match="all weights of this encoder are frozen"):
        fitted(SimCSE(encoder), sequences)


def test_an_objective_says_what_it_needs():
    objective = Objective(new_encoder())
    for method in ("outputs", "loss"):
        with pytest.raises(NotImplementedError):
            getattr(objective, method)(*[None] * (1 + (method == "loss")))


# -- distillation ----------------------------------------------------------------------------------------------


def test_a_student_begins_with_blocks_of_its_teacher_evenly_spaced():
    teacher = new_encoder(num_layers=6)
    teacher.max_seq_length = 20
    weights = teacher.state_dict()
    for layers, kept in ((1, [0]), (2, [0, 5]), (3, [0, 2, 5]), (5, [0, 1, 2, 4, 5])):
        student = student_of(teacher, layers, rng=np.random.default_rng(0))
        assert student.config.num_layers == layers
        assert student.max_seq_length == 20
        for i, block in enumerate(kept):
            for name, w in student.transformer.blocks[i].state_dict().items():
                np.testing.assert_array_equal(w, weights[f"transformer.blocks.{block}.{name}"])
        np.testing.assert_array_equal(student.embedding.weight.data, weights["embedding.weight"])
    student.embedding.weight.data[:] = 0
    assert weights["embedding.weight"].any()  # it has memory of its own
    for layers in (0, 6, 7):
        with pytest.raises(InputError, match=f"{layers} layers: .* from 1 to 5"):
            student_of(teacher, layers, rng=np.random.default_rng(0))


def test_a_student_comes_to_find_its_teachers_neighbours():
    teacher = new_encoder(num_layers=4)
    student = student_of(teacher, 1, rng=np.random.default_rng(0))
    sequences, vectors = teacher.tokenize(TEXTS), teacher.encode(TEXTS)
    before = neighbour_overlap(vectors, student.encode(TEXTS), 5)
    kept = teacher.state_dict()["embedding.weight"].copy()
    losses = fitted(Distillation(student, teacher), sequences, epochs=40, dropout=0.0)
    assert losses[-1][0] < 0.2 * losses[0][0]
    np.testing.assert_array_equal(teacher.embedding.weight.data, kept)  # a teacher does not learn
    assert neighbour_overlap(vectors, student.encode(TEXTS), 5) > max(0.9, before)


def test_neighbour_overlap_is_counted(rng):
    a, b = rng.normal(size=(2, 30, 8))
    near = [[set(np.argsort(-row)[1:4].tolist()) for row in cosines(x)] for x in (a, b)]
    expected = np.mean([len(x & y) / 3 for x, y in zip(*near, strict=True)])
    assert neighbour_overlap(a, b, 3) == pytest.approx(expected)
    assert neighbour_overlap(a, 2 * a) == 1
    assert neighbour_overlap(a[:9], b[:9]) == neighbour_overlap(a[:9], b[:9], 4)  # at most half of the others
    assert neighbour_overlap(a, b) < 1
    assert np.isnan(neighbour_overlap(a[:2], b[:2]))


def cosines(x):
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    return unit @ unit.T


def test_half_of_the_texts_are_asked_in_runs_of_their_tokens(rng):
    teacher = new_encoder(num_layers=4)
    objective = Distillation(student_of(teacher, 1, rng=rng), teacher)
    rows = [[1, *range(10, 60), 2], [1, 7, 8, 9, 2], []] * 200
    ids, mask = pad(rows, 0)
    asked = objective.ask(Batch(ids, mask, {}, np.arange(600)), rng)
    found = [row[real].tolist() for row, real in zip(asked.ids, asked.attention_mask, strict=True)]
    assert found[1::3] == rows[1::3]  # too short
    assert found[2::3] == rows[2::3]
    assert 60 < sum(ids == rows[0] for ids in found[::3]) < 140
    for first, *inner, last in found[::3]:
        assert (first, last) == (1, 2)
        assert inner == list(range(inner[0], inner[0] + len(inner)))
        assert 3 <= len(inner) <= 32 or len(inner) == 50
    assert len({ids[1] for ids in found[::3]}) > 10


def test_the_loss_of_distillation_is_torchs():
    """Three terms as the docstring has them, in float64, of texts that are asked as a whole."""
    teacher, texts = new_encoder(num_layers=3).to(np.float64), TEXTS[:5]
    student = student_of(teacher, 1, rng=np.random.default_rng(0)).to(np.float64)
    ids, mask = pad(teacher.tokenize(texts), teacher.config.pad_id)
    batch, objective = Batch(ids, mask, {}, np.arange(5)), Distillation(student, teacher)
    with inference():
        ours = objective.loss(objective.outputs(batch), batch).item()
        x, y = (torch.tensor(e.token_embeddings(ids, mask).data) for e in (student, teacher))
    real = torch.tensor(mask)[:, :, None].double()
    s, t = ((z * real).sum(1) / real.sum(1) for z in (x, y))
    tokens = ((((x - y) ** 2).sum(2) * real[:, :, 0]).sum(1) / real[:, :, 0].sum(1)).mean()
    cosines = [z / z.norm(dim=1, keepdim=True) for z in (s, t)]
    gaps = cosines[0] @ cosines[0].T - cosines[1] @ cosines[1].T
    theirs = tokens + ((s - t) ** 2).sum(1).mean() + (gaps**2).sum(1).mean()
    assert ours == pytest.approx(theirs.item(), rel=1e-9)


# -- the commands ----------------------------------------------------------------------------------------------

SMALL = ["--hidden-size", 16, "--intermediate-size", 32, "--num-heads", 2, "--num-layers", 2, "--vocab-size", 300]


@pytest.fixture(scope="module")
def texts_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("texts") / "texts.txt"
    path.write_text("".join(f"{text} number {i}\n" for i in range(6) for text in TEXTS) + "\n  \n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory, texts_file):
    """A model directory that `pretrain` wrote. Not to be written into."""
    directory = tmp_path_factory.mktemp("models") / "mlm"
    arguments = ["pretrain", texts_file, "--out", directory, "--epochs", 2, *SMALL]
    assert main([str(argument) for argument in arguments]) == 0
    return directory


def test_pretrain_writes_a_model_that_everybody_loads(capsys, pretrained, reviews_csv, texts_file):
    assert {"config.json", "model.safetensors", "curve.png", "masked.png"} <= {
        path.name for path in pretrained.iterdir()
    }
    assert not (pretrained / "minitx-unfinished").exists()
    ours = SentenceEncoder.from_pretrained(pretrained).encode(TEXTS)
    theirs = SentenceTransformer(str(pretrained), device="cpu").encode(TEXTS)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    assert run(capsys, "embed", pretrained, texts_file, "--out", "x.npy")[0] == 0
    code, _, err = run(
        capsys, "train", "--pretrained", pretrained, "--data", reviews_csv, "--out", "model", "--epochs", 1
    )
    assert code == 0, err


@pytest.mark.parametrize("objective", ["mlm", "simcse"])
def test_pretrain_says_what_it_does_and_does_it_again_to_the_byte(capsys, texts_file, objective):
    arguments = ["pretrain", texts_file, "--objective", objective, *SMALL, "--epochs", 2]
    code, out, err = run(capsys, *arguments, "--out", "one")
    assert code == 0, err
    assert "96 texts, 96 of them different: 91 to learn from, 5 held out" in out
    assert len([line for line in out.splitlines() if line.split()[:1] in (["1"], ["2"])]) == 2
    assert run(capsys, *arguments, "--out", "two")[0] == run(capsys, *arguments, "--out", "three", "--seed", 1)[0] == 0
    one, two, three = (Path(name, "model.safetensors").read_bytes() for name in ("one", "two", "three"))
    assert one == two != three
    assert Path("one/masked.png").exists() == (objective == "mlm")


def test_pretraining_goes_on_from_a_model(capsys, pretrained, texts_file):
    arguments = ["--from", pretrained, "--objective", "simcse", "--epochs", 1, "--max-length", 9, "--out", "next"]
    assert run(capsys, "pretrain", texts_file, *arguments)[0] == 0
    before, after = SentenceEncoder.from_pretrained(pretrained), SentenceEncoder.from_pretrained("next")
    assert after.tokenizer.get_vocab() == before.tokenizer.get_vocab()
    assert (before.max_seq_length, after.max_seq_length) == (128, 9)
    moved = np.abs(after.embedding.weight.data - before.embedding.weight.data).max()
    assert 0 < moved < 0.1


def test_distill_writes_a_student_and_its_table(capsys, pretrained, texts_file):
    code, out, err = run(capsys, "distill", pretrained, texts_file, "--layers", 1, "--epochs", 2, "--out", "student")
    assert code == 0, err
    table = pd.read_csv("student/distilled.csv")
    assert table["encoder"].tolist() == ["teacher", "student"]
    assert table["layers"].tolist() == [2, 1]
    assert table["neighbours shared"][0] == 1 >= table["neighbours shared"][1] > 0
    assert table["weights"][0] > table["weights"][1]
    assert (table["texts a second"] > 0).all()
    assert "neighbours shared" in out
    assert "shared: of the ten texts nearest" in out
    assert Path("student/curve.png").exists()
    assert SentenceTransformer("student", device="cpu").encode(["ann"]).shape == (1, 16)


def test_that_texts_are_cut_is_said_once(capsys, pretrained, texts_file, tmp_path):
    (tmp_path / "long.txt").write_text("".join(f"{i} {'on and ' * 200}\n" for i in range(20)), encoding="utf-8")
    code, out, err = run(capsys, "distill", pretrained, "long.txt", "--layers", 1, "--epochs", 1, "--out", "student")
    assert (code, err.count("longer than 128 tokens were cut")) == (0, 1)
    assert "n/a" in out  # two texts are held out: none has ten others


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["pretrain", "nowhere.txt"], "nowhere.txt: No such file"),
        (["pretrain", "few.txt"], "few.txt: 2 different texts; at least 20 are needed"),
        (["pretrain", "{texts}", "--text", "x"], "no column name"),
        (["pretrain", "{texts}", "--epochs", 0], "epochs must be at least 1"),
        (["pretrain", "{texts}", "--lr", -1], "lr must be at least 0"),
        (["pretrain", "{texts}", "--num-heads", 3], "num_heads must divide hidden_size"),
        (["pretrain", "{texts}", "--objective", "gpt"], "invalid choice: 'gpt'"),
        (["pretrain", "{texts}", "--from", "{model}", "--num-layers", 3], "--num-layers: leave out, "),
        (["pretrain", "{texts}", "--from", "{model}", "--max-length", 9999], " tokens at most"),
        (["pretrain", "{texts}", "--objective", "simcse", "--batch-size", 1], "batches of 1: their texts are compared"),
        (["pretrain", "{texts}", "--from", "nowhere/at/all"], "nowhere/at/all is not a directory"),
        (
            ["distill", "{model}", "{texts}", "--layers", 2],
            "2 layers: the encoder has 2, and a student has from 1 to 1",
        ),
        (["distill", "{model}", "few.txt", "--layers", 1], "few.txt: 2 different texts"),
        (["distill", "{model}", "{texts}", "--layers", 1, "--batch-size", 0], "batch_size must be at least 1"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_line(capsys, tmp_path, pretrained, texts_file, command, message):
    (tmp_path / "few.txt").write_text("one\nTWO\ntwo!\n", encoding="utf-8")
    command = [str(part).format(texts=texts_file, model=pretrained) for part in command]
    assert message in refused(capsys, *command, "--out", "model")
    assert [path.name for path in tmp_path.iterdir()] == ["few.txt"]


def test_what_exists_is_replaced_only_if_asked_and_only_by_something_whole(capsys, monkeypatch, pretrained, texts_file):
    shutil.copytree(pretrained, "model")
    Path("model/mine.txt").write_text("mine", encoding="utf-8")
    before = Path("model/model.safetensors").read_bytes()
    arguments = ["pretrain", texts_file, *SMALL, "--epochs", 1, "--seed", 5, "--out", "model"]
    assert "model exists already" in refused(capsys, *arguments)
    monkeypatch.setattr(SimCSE, "loss", lambda self, outputs, batch: outputs.sum() * math.nan)
    err = refused(capsys, *arguments, "--objective", "simcse", "--overwrite")
    assert "epoch 1/1: the loss is nan" in err
    assert Path("model/model.safetensors").read_bytes() == before
    assert run(capsys, *arguments, "--overwrite")[0] == 0
    assert Path("model/model.safetensors").read_bytes() != before
    assert Path("model/mine.txt").read_text(encoding="utf-8") == "mine"
    assert not Path("model/minitx-unfinished").exists()


# -- before `minitx train` ---------------------------------------------------------------------------------------

FEW = {"hidden_size": 16, "intermediate_size": 32, "num_heads": 2, "num_layers": 1, "vocab_size": 400, "max_length": 32}


def prepared(monkeypatch, lines=None, **settings):
    """The job, and the texts that were learned from without labels, decoded."""
    seen = []

    def watched(objective, rows, *args, **how):
        seen.extend(objective.encoder.tokenizer.decode(ids) for ids in rows.sequences)
        return fit_texts(objective, rows, *args, **how)

    monkeypatch.setattr("minitx.app.prepare.fit_texts", watched)
    settings = {"pretraining": "mlm", "pretraining_epochs": 1, "max_length": 128} | settings
    return prepare(experiment_of(FEW, settings), (lines if lines is not None else []).append), seen


@pytest.mark.parametrize("rows", [0, 50])
def test_pretraining_sees_all_texts_of_the_training_split_and_no_other(monkeypatch, reviews_csv, rows):
    """Also with few labelled rows: those that `train_rows` leaves out have texts, as if nobody had labelled them."""
    whole, _ = prepared(monkeypatch, data=str(reviews_csv), pretraining_epochs=0)
    job, seen = prepared(monkeypatch, data=str(reviews_csv), train_rows=rows)
    assert len(job.parts.train) == (rows or len(whole.parts.train))
    assert len(seen) == len(set(seen)) > 300  # each once: copies of a text are no other texts
    cut = {text for text in whole.parts.train.texts if len(job.model.encoder.tokenizer.encode(text)) <= 128}
    assert cut <= set(seen)
    others = {normalise(text) for part in (job.parts.validation, job.parts.test) for text in part.texts}
    assert not others & {normalise(text) for text in seen}


@pytest.mark.parametrize("objective", ["mlm", "simcse"])
def test_a_run_that_is_prepared_again_begins_with_the_same_bits(monkeypatch, reviews_csv, objective):
    settings = {"data": str(reviews_csv), "pretraining": objective}
    weights = [prepared(monkeypatch, **settings, threads=n)[0].model.state_dict() for n in (1, 2)]
    plain = prepare(experiment_of(FEW, {"data": str(reviews_csv), "max_length": 128}), lambda line: None)
    for name, w in weights[0].items():
        np.testing.assert_array_equal(w, weights[1][name])
    moved = [name for name, w in plain.model.state_dict().items() if not np.array_equal(w, weights[0][name])]
    assert "encoder.transformer.blocks.0.attention.query.weight" in moved
    assert not [name for name in moved if name.startswith("heads")]  # drawn as they are without
    assert {m.p for m in plain.model.encoder.modules() if isinstance(m, Dropout)} == {0.4}


def test_a_pretrained_encoder_goes_on_learning_and_it_is_said(monkeypatch, reviews_csv, pretrained):
    lines = []
    settings = {name: Experiment().__getattribute__(name) for name in FEW} | {"pretrained": str(pretrained)}
    job, seen = prepared(monkeypatch, lines, data=str(reviews_csv), **settings, pretraining_epochs=2)
    before = SentenceEncoder.from_pretrained(pretrained).embedding.weight.data
    assert 0 < np.abs(job.model.encoder.embedding.weight.data - before).max() < 0.05
    at = lines.index(f"mlm on the {len(seen)} texts of the training split, without labels")
    assert [line.split("loss")[0] for line in lines[at + 1 : at + 3]] == ["  epoch 1/2  ", "  epoch 2/2  "]
    assert lines[at - 1].startswith("it will take about ")
    note = [line for line in lines if line.startswith("note: lr 0.0005 is for an encoder from scratch")]
    assert len(note) == 1
    for gentle in ({"lr": 5e-5}, {"freeze": ["backbone"]}):
        lines.clear()
        prepared(monkeypatch, lines, data=str(reviews_csv), **settings, pretraining_epochs=1, **gentle)
        assert not [line for line in lines if "from scratch" in line]


def test_a_run_with_pretraining_and_settings_that_say_nothing(capsys, reviews_csv):
    quick = ["--pretraining-epochs", 1, "--epochs", 1]
    code, out, err = run(capsys, "train", "--data", reviews_csv, "--out", "m", *TINY, "--pretraining", "simcse", *quick)
    assert code == 0, err
    assert "simcse on the " in out
    assert run(capsys, "replay", "m")[0] == 0
    with pytest.raises(InputError, match="pretraining_epochs was given, but no pretraining: choose mlm or simcse"):
        experiment_of({"pretraining_epochs": 3})


def test_an_encoder_that_minitx_wrote_goes_on_where_it_was(tmp_path):
    """Its embeddings are written times the root of D, and guesses are made with them."""
    encoder = new_encoder()
    sequences = encoder.tokenize(TEXTS)
    losses = fitted(MaskedLanguageModel(encoder, sequences), sequences, epochs=30)
    encoder.save_pretrained(tmp_path / "encoder")
    again = SentenceEncoder.from_pretrained(tmp_path / "encoder")
    (first, _), *_ = fitted(MaskedLanguageModel(again, again.tokenize(TEXTS)), sequences, epochs=1, lr=1e-9)
    assert losses[-1][0] < 0.6 * losses[0][0]
    assert first < losses[0][0] + 0.3


def test_what_cannot_be_is_refused_before_the_wait(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr("minitx.app.prepare.fit_texts", lambda *args, **more: pytest.fail("it began to learn"))
    small = ["--pretraining", "mlm", "--num-layers", "1", "--hidden-size", "16", "--out", str(tmp_path / "model")]
    assert main(["train", "--pretraining", "simcse", "--batch-size", "1", "--out", str(tmp_path / "model")]) == 2
    assert "SimCSE compares the texts of a batch" in capsys.readouterr().err
    for asked in ("kinds.engagement=coral", "freeze=['nonsense']", "task_weights.q=2", "rates.nobody=1e-3"):
        assert main(["train", *small, "--set", asked]) == 2
        assert capsys.readouterr().err.startswith("error: ")


def test_all_of_the_encoder_learns_before_labels_and_what_was_frozen_is_frozen_again(monkeypatch, reviews_csv):
    job, _ = prepared(monkeypatch, data=str(reviews_csv), freeze=["backbone"])
    plain = prepare(experiment_of(FEW, {"data": str(reviews_csv), "max_length": 128}), lambda line: None)
    name = "encoder.transformer.blocks.0.attention.query.weight"
    assert not any(p.requires_grad for p in job.model.encoder.parameters())
    assert (job.model.state_dict()[name] != plain.model.state_dict()[name]).any()


def test_a_new_encoder_with_a_relative_bias_can_be_saved_as_mpnet(reviews_csv, tmp_path):
    sizes = {**FEW, "relative_buckets": 32}
    model = prepare(experiment_of(sizes, {"data": str(reviews_csv)}), lambda line: None).model
    assert model.encoder.tokenizer.pad_id == 1
    model.encoder.save_pretrained(tmp_path / "encoder")
    again = SentenceEncoder.from_pretrained(tmp_path / "encoder")
    np.testing.assert_allclose(again.encode(TEXTS), model.encoder.encode(TEXTS), atol=1e-6)
