"""Contributions are the derivatives they are said to be; the page shows the right rows and is safe to open."""

import re
from html import unescape
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score

from minitx.app import mistakes_page
from minitx.app.mistakes import Mistake, Piece, length_table, worst_mistakes
from minitx.app.mistakes_page import write_mistakes_page
from minitx.data.split import LabelledTexts
from minitx.evaluation.attribution import token_contributions
from minitx.evaluation.metrics import report_heads
from minitx.evaluation.statistics import wilson_interval
from minitx.models.config import EncoderConfig
from minitx.models.encoder import SentenceEncoder
from minitx.models.multitask import MultiTaskModel
from minitx.nn.layers import Embedding
from minitx.nn.module import Module
from minitx.nn.pooling import Pooling
from minitx.text.bpe import BPETokenizer
from minitx.text.tokenizer_json import SpecialToken, TokenizerSpec
from minitx.text.truncation import TruncationWarning
from minitx.text.wordpiece import WordPieceTokenizer
from minitx.training.baseline import BagOfWords

TEXTS = [
    "love it so much",
    "it crashes",
    "<script>alert('x')</script> & \"quoted\"",
    "it is bad 😡👎🏽 really",
    "fine\x00\x07 \u202e done",
    "a longer one that goes on and on and on, well past what the model reads of it, on and on and on",
    "   ",
    "zebra",
]


@pytest.fixture
def model(rng):
    tokenizer = BPETokenizer.train(TEXTS * 2, vocab_size=300)
    config = EncoderConfig(
        tokenizer.vocab_size, tokenizer.pad_id, 16, 2, 2, 32, max_length=24, dropout=0.3, pooling="mean"
    )
    return MultiTaskModel(
        SentenceEncoder(config, tokenizer, rng=rng), {"mood": ["bad", "so<so", "good"], "urgent": 2}, rng=rng
    )


@pytest.fixture
def data():
    labels = {"mood": np.array([2, 0, 1, 0, -100, 1, 2, 0]), "urgent": np.array([0, 1, 0, 1, 0, 1, 0, 1])}
    classes = {"mood": ("bad", "so<so", "good"), "urgent": ("0", "1")}
    return LabelledTexts(TEXTS, labels, classes, [None] * len(TEXTS))


class BagEncoder(Module):
    """The mean of the embeddings: with a head on it, a model that is linear in them."""

    def __init__(self, rng):
        self.config, self.tokenizer = EncoderConfig(20, hidden_size=8, num_heads=2), None
        self.embedding, self.pooling = Embedding(20, 8, rng=rng), Pooling("mean")

    def contextual(self, x, attention_mask):
        return x

    def pool(self, x, attention_mask):
        return self.pooling(x, attention_mask)


SEQUENCES = [[3, 5, 5, 7], [1], [], [9, 8, 7, 6, 5, 4]]


def test_of_a_linear_model_the_contributions_add_up_to_the_logit(rng):
    model = MultiTaskModel(BagEncoder(rng), {"head": 3}, rng=rng).to(np.float64)
    model.heads["head"].bias.data[...] = [0.5, -1, 2]
    classes = np.array([2, 0, 1, 1])
    weight, bias = (parameter.data for parameter in model.heads["head"].parameters())
    contributions = token_contributions(model, SEQUENCES, "head", classes, batch_size=2)
    for ids, c, values in zip(SEQUENCES, classes, contributions, strict=True):
        assert values.shape == (len(ids),)
        vectors = model.encoder.embedding.weight.data[ids]
        logit = weight[c] @ (vectors.mean(axis=0) if ids else np.zeros(8)) + bias[c]
        assert values.sum() == pytest.approx(logit - bias[c], abs=1e-12)
        np.testing.assert_allclose(values, vectors @ weight[c] / max(1, len(ids)), atol=1e-12)


def test_of_a_transformer_they_are_slopes(model):
    """Scaling a token's row of the table scales the token wherever it stands: its contributions, together."""
    model.to(np.float64).eval()
    ids = [260, 261, 262, 261, 40]
    table, eps = model.encoder.embedding.weight, 1e-5
    (values,) = token_contributions(model, [ids], "mood", np.array([1]))

    def logit():
        return model(np.array([ids]), np.ones((1, 5), bool))["mood"].data[0, 1]

    for token in set(ids):
        row = table.data[token].copy()
        table.data[token] = row * (1 + eps)
        above = logit()
        table.data[token] = row * (1 - eps)
        slope = (above - logit()) / (2 * eps)
        table.data[token] = row
        assert values[np.array(ids) == token].sum() == pytest.approx(slope, rel=1e-6, abs=1e-10)
    assert np.abs(values).min() > 0


def test_the_model_is_left_as_it_is(model):
    model.train()
    model.encoder.norm.freeze()
    before = {name: (p.data.copy(), p.requires_grad) for name, p in model.named_parameters()}
    embedding = model.encoder.embedding
    first = token_contributions(model, [[5, 6, 7]], "mood", np.array([0]))[0]
    np.testing.assert_array_equal(
        first, token_contributions(model, [[5, 6, 7]], "mood", np.array([0]))[0]
    )  # no dropout
    assert model.training
    assert model.encoder.embedding is embedding
    for name, parameter in model.named_parameters():
        np.testing.assert_array_equal(parameter.data, before[name][0])
        assert parameter.requires_grad == before[name][1]
        assert parameter.grad is None


@pytest.mark.filterwarnings("ignore:.*longer than 24 tokens")
def test_the_worst_mistakes_are_the_most_confident_ones(model, data):
    probabilities = model.predict_proba(data.texts)["mood"]
    probabilities[1], probabilities[3] = [0.01, 0.0, 0.99], [0.1, 0.9, 0.0]
    probabilities[4] = [1, 0, 0]  # has no label
    probabilities[0] = [0, 0, 1]  # is right
    mistakes = worst_mistakes(model, data, "mood", probabilities, limit=2)
    assert [(m.row, m.true, m.predicted) for m in mistakes] == [(1, "bad", "good"), (3, "bad", "so<so")]
    assert mistakes[0].confidence == pytest.approx(0.99)
    assert mistakes[0].true_probability == pytest.approx(0.01)
    assert worst_mistakes(model, data, "mood", np.eye(3)[np.maximum(data.labels["mood"], 0)]) == []


def test_copies_of_a_mistake_are_shown_once_and_counted(model, data):
    rows = np.array([0, 1, 7, 1, 1, 1])
    many = data.subset(rows)
    many.texts[3] = "It crashes!"
    many.labels["mood"][5] = 1  # the same text, another mistake
    wrong = np.tile([0.1, 0.2, 0.7], (6, 1)) - 0.01 * np.arange(6)[:, None]
    found = [(m.row, m.copies, m.true) for m in worst_mistakes(model, many, "mood", wrong)]
    assert found == [(1, 2, "bad"), (2, 0, "bad"), (5, 0, "so<so")]


@pytest.mark.filterwarnings("ignore:.*longer than 24 tokens")
def test_pieces_are_the_text_and_carry_every_contribution(model, data):
    wrong = np.eye(3)[(np.maximum(data.labels["mood"], 0) + 1) % 3]
    for mistake in worst_mistakes(model, data, "mood", wrong):
        text = data.texts[mistake.row]
        assert "".join(piece.text for piece in mistake.pieces) == text
        ids = model.encoder.tokenize([text])[0]
        predicted = np.array([model.classes["mood"].index(mistake.predicted)])
        expected = token_contributions(model, [ids], "mood", predicted)[0]
        contributions = [piece.contribution for piece in mistake.pieces if piece.contribution is not None]
        assert sum(contributions) == pytest.approx(expected[1:-1].sum(), rel=1e-5, abs=1e-6)
        assert mistake.special == pytest.approx(expected[0] + expected[-1], rel=1e-5, abs=1e-6)  # [CLS] and [SEP]
        if text.isascii():
            np.testing.assert_allclose(contributions, expected[1:-1], rtol=1e-5, atol=1e-7)
        cut = len(model.encoder.tokenizer.encode(text)) > 24
        assert (mistake.pieces[-1].contribution is None) == cut == text.startswith("a longer")
    emoji = next(m for m in worst_mistakes(model, data, "mood", wrong) if "😡" in data.texts[m.row])
    assert any("😡" in piece.text for piece in emoji.pieces)


def test_word_pieces_leave_the_spaces_between_them_unmarked(rng):
    vocab = {
        token: i for i, token in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "it", "crash", "##es", "bad", "!"])
    }
    specials = [SpecialToken(name, vocab[name]) for name in ("[PAD]", "[UNK]", "[CLS]", "[SEP]")]
    tokenizer = WordPieceTokenizer(TokenizerSpec("WordPiece", vocab, specials, ["[CLS]"], ["[SEP]"]))
    config = EncoderConfig(len(vocab), tokenizer.pad_id, 8, 1, 2, 8, max_length=7)
    model = MultiTaskModel(SentenceEncoder(config, tokenizer, rng=rng), {"mood": 2}, rng=rng)
    data = LabelledTexts(["It  crashes é bad !"], {"mood": np.array([0])}, model.classes, [None])
    with pytest.warns(TruncationWarning):
        probabilities = model.predict_proba(data.texts)
    probabilities["mood"][0] = [0, 1]
    (mistake,) = worst_mistakes(model, data, "mood", probabilities["mood"])
    assert [piece.text for piece in mistake.pieces] == ["It", "  ", "crash", "es", " ", "é", " ", "bad", " !"]
    read = [piece.text for piece in mistake.pieces if piece.contribution is not None]
    assert read == ["It", "crash", "es", "é", "bad"]


def test_slices_by_length_share_out_the_rows(data, rng):
    texts = ["word " * n for n in rng.integers(1, 40, size=200)]
    labels = {"mood": rng.integers(0, 3, size=200)}
    many = LabelledTexts(texts, labels, {"mood": ("a", "b", "c")}, [None] * 200)
    probabilities = rng.dirichlet(np.ones(3), size=200)
    table = length_table(many, "mood", probabilities, probabilities[:, ::-1])
    bounds = [tuple(map(int, label.split(" to "))) for label in table.index]
    assert len(table) == 4
    assert table["rows"].sum() == 200
    assert [b[0] - a[1] for a, b in pairwise(bounds)] == [1, 1, 1]
    for (first, last), (_, row) in zip(bounds, table.iterrows(), strict=True):
        rows = np.array([first <= len(text.split()) <= last for text in texts])
        assert row["rows"] == rows.sum()
        for column, given in (("accuracy", probabilities), ("bag of words", probabilities[:, ::-1])):
            assert row[column] == accuracy_score(labels["mood"][rows], given[rows].argmax(axis=1))
        right = int((labels["mood"][rows] == probabilities[rows].argmax(axis=1)).sum())
        low, high = wilson_interval(right, int(rows.sum()))
        assert row["95 % interval"] == f"{low:.3f} to {high:.3f}"
    assert list(length_table(data.subset(np.array([0, 0, 0])), "mood", probabilities[:3]).index) == ["4"]


@pytest.mark.filterwarnings("ignore:.*longer than 24 tokens")
def test_a_token_of_white_space_can_be_seen_below_a_mistake(model, data, tmp_path, monkeypatch):
    pieces = [Piece(" ", 0.5), Piece("\n\t", -0.25), Piece(" crash", 0.125)]
    mistake = Mistake(0, 0, "a", "b", 0.9, 0.1, pieces, 0.0)
    monkeypatch.setattr("minitx.app.mistakes_page.worst_mistakes", lambda *_: [mistake])
    assert "for b: <code>␣</code> +0.50, <code>crash</code> +0.12; against it: <code>␣␣</code> -0.25" in written(
        model, data, tmp_path / "page.html"
    )


class Page(HTMLParser):
    """Tags that are balanced, attributes, and text without style."""

    VOID = ("meta", "br")

    def __init__(self, html):
        super().__init__()
        self.open, self.tags, self.attributes, self.words = [], [], [], []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, text):
        if self.open and self.open[-1] != "style":
            self.words.append(text)


def written(model, data, path):
    probabilities = model.predict_proba(data.texts)
    reports = report_heads(data.labels, probabilities, model.classes)
    bag = BagOfWords.fit(data)
    write_mistakes_page(path, "<b>file</b>.csv", model, data, probabilities, bag.beside(reports, data), bag)
    return path.read_text(encoding="utf-8")


@pytest.fixture
def page(model, data, tmp_path):
    return written(model, data, tmp_path / "page.html")


@pytest.mark.filterwarnings("ignore:.*longer than 24 tokens")
def test_the_page_is_one_whole_file_that_runs_and_loads_nothing(page):
    parsed = Page(page)
    assert "script" not in parsed.tags
    assert not {"link", "img", "iframe", "b2"} & set(parsed.tags)
    assert all(not name.startswith("on") and name not in ("src", "href") for name, _ in parsed.attributes)
    assert "default-src 'none'" in page
    assert "url(" not in page
    assert "@import" not in page
    assert "http" not in page.replace("http-equiv", "")
    assert "{" not in re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)
    assert "color-scheme: light dark" in page


@pytest.mark.filterwarnings("ignore:.*longer than 24 tokens")
def test_the_page_shows_what_there_is_to_see(page, model, data):
    text = "".join(Page(page).words)
    assert "<b>file</b>.csv" in text
    assert "so<so" in text
    assert text.count("The ") >= 2
    for phrase in ("balanced accuracy", "bag of words", "always the largest class", "95 % interval", "How to read"):
        assert phrase in text
    probabilities = model.predict_proba(data.texts)
    for head in data.labels:
        wrong = int(((data.labels[head] >= 0) & (probabilities[head].argmax(1) != data.labels[head])).sum())
        assert f"The most confident of {wrong} mistakes: {wrong} texts" in text
        assert f"What the {wrong} mistakes have in common: " in text
        assert text.index(f"What the {wrong} mistakes") < text.index(f"The most confident of {wrong} mistakes")
        for mistake in worst_mistakes(model, data, head, probabilities[head]):
            shown = re.sub(r"[\x00\x07\u202e]", "\N{REPLACEMENT CHARACTER}", data.texts[mistake.row])
            assert shown in text
    assert not re.search(r"[\x00-\x08\u202e]", unescape(page))


def test_counts_in_tables_have_thousands_separators_and_shares_three_digits():
    page = mistakes_page._table(pd.DataFrame({"rows": [1069], "F1": [0.5]}, ["negative"]))
    assert "<td>1,069</td>" in page
    assert "<td>0.500</td>" in page
