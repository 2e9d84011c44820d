"""Mistakes are grouped without one lost, those that lie together together, and the words named are the group's own."""

from collections import Counter

import numpy as np
import pytest

from minitx.app.themes import LARGE, MOST_GROUPS, count_terms, divide, find_themes, shared_terms
from minitx.data.split import LabelledTexts, normalise
from minitx.models.config import EncoderConfig
from minitx.models.encoder import SentenceEncoder
from minitx.models.multitask import MultiTaskModel
from minitx.text.bpe import BPETokenizer

CLASSES = ("bad", "so so", "good")


@pytest.fixture
def found(rng):
    """Two kinds of mistakes, of which one is about ads and sound; (data, predicted, themes)."""
    about = ["far too many ads in it", "the sound is always late", "my own words here"]
    texts = [f"{about[i % 3]} number {i // 2}" for i in range(300)]
    target = rng.integers(-1, 3, size=300)
    labels = {"mood": np.where(target < 0, -100, target)}
    tokenizer = BPETokenizer.train(texts, vocab_size=400)
    config = EncoderConfig(tokenizer.vocab_size, tokenizer.pad_id, 16, 1, 2, 32, pooling="mean")
    model = MultiTaskModel(SentenceEncoder(config, tokenizer, rng=rng), {"mood": CLASSES}, rng=rng)
    data = LabelledTexts(texts, labels, {"mood": CLASSES}, [None] * 300)
    predicted = np.where(np.arange(300) % 3 == 2, np.maximum(target, 0), (np.maximum(target, 0) + 1) % 3)
    return data, predicted, find_themes(model, data, "mood", np.eye(3)[predicted], count_terms(texts))


def test_every_mistake_is_in_one_group_of_its_kind(found):
    data, predicted, themes = found
    target = data.labels["mood"]
    rows = np.concatenate([theme.rows for theme in themes])
    wrong = np.flatnonzero((target >= 0) & (predicted != target))
    np.testing.assert_array_equal(np.sort(rows), wrong)
    assert sum(theme.share for theme in themes) == pytest.approx(1)
    sizes = [len(theme.rows) for theme in themes]
    assert sizes == sorted(sizes, reverse=True)
    for theme in themes:
        assert {CLASSES[c] for c in target[theme.rows]} == {theme.true}
        assert {CLASSES[c] for c in predicted[theme.rows]} == {theme.predicted}
        assert theme.share == pytest.approx(len(theme.rows) / len(wrong))
    kinds = Counter((theme.true, theme.predicted) for theme in themes)
    assert len(kinds) == 3
    assert max(kinds.values()) > 1


def test_examples_are_of_the_group_nearest_first_and_no_text_twice(found):
    data, _, themes = found
    for theme in themes:
        texts = [normalise(data.texts[row]) for row in theme.examples]
        assert theme.examples[0] == theme.rows[0]
        assert set(theme.examples) <= set(theme.rows.tolist())
        assert len(set(texts)) == len(texts) == min(3, len({normalise(data.texts[row]) for row in theme.rows}))


def test_a_model_without_mistakes_has_no_groups(found, rng):
    data, _, _ = found
    tokenizer = BPETokenizer.train(data.texts, vocab_size=300)
    config = EncoderConfig(tokenizer.vocab_size, tokenizer.pad_id, 8, 1, 2, 8)
    model = MultiTaskModel(SentenceEncoder(config, tokenizer, rng=rng), {"mood": CLASSES}, rng=rng)
    assert find_themes(model, data, "mood", np.eye(3)[np.maximum(data.labels["mood"], 0)], Counter()) == []


def test_what_lies_apart_is_divided_and_what_lies_together_is_not(rng):
    centres = 5 * np.eye(3)[:, [0, 1, 2, 0]]
    vectors = np.concatenate([centre + 0.1 * rng.normal(size=(40, 4)) for centre in centres])
    shuffled = rng.permutation(120)
    groups = divide(vectors, shuffled)
    assert sorted({frozenset((group // 40).tolist()) for group in groups}, key=min) == [{0}, {1}, {2}]
    again = divide(vectors, shuffled)
    assert all(np.array_equal(a, b) for a, b in zip(groups, again, strict=True))
    assert len(divide(vectors[:LARGE], np.arange(LARGE))) == 1
    assert len(divide(np.ones((500, 4)), np.arange(500))) == 1  # copies of one text
    assert len(divide(rng.normal(size=(5000, 4)), np.arange(5000))) == MOST_GROUPS


def test_the_words_of_a_group_are_those_with_the_largest_log_odds(monkeypatch):
    texts = [f"the app is fine and {word}" for word in ("quick", "slow", "green") * 60] + ["too many ads"] * 20
    group = ["the app has ads", "ads again", "ads and ads", "so green an app"] * 5
    inside, everywhere = count_terms(group), count_terms(texts + group)
    terms = shared_terms(inside, 20, everywhere, 200)
    assert next(iter(terms)) == "ads"
    assert terms["ads"] == 15
    assert "app" not in terms  # everybody has it
    assert all(inside[term] == have for term, have in terms.items())
    others = everywhere - inside
    a, b = (counted["ads"] + 0.1 * everywhere["ads"] for counted in (inside, others))
    n, rest = (counted.total() + 0.1 * everywhere.total() for counted in (inside, others))
    z = (np.log(a / (n - a)) - np.log(b / (rest - b))) / np.sqrt(1 / a + 1 / b)
    monkeypatch.setattr("minitx.app.themes.Z", z - 1e-9)
    assert list(shared_terms(inside, 20, everywhere, 200)) == ["ads"]
    monkeypatch.setattr("minitx.app.themes.Z", z + 1e-9)
    assert shared_terms(inside, 20, everywhere, 200) == {}


def test_long_texts_have_no_more_of_everything(rng):
    """What tells them is how often a word is among their words, not in how many of the texts it is."""
    words = [f"word{i}" for i in range(40)]

    def text(length):
        return " ".join(rng.permutation(words)[:length])

    short, long = [text(3) for _ in range(400)], [text(30) for _ in range(40)]
    assert shared_terms(count_terms(long), 40, count_terms(short + long), 440) == {}


def test_a_group_of_everything_and_a_term_of_every_text():
    texts = ["ads", "ads", "ads", "ads"]
    assert shared_terms(count_terms(texts), 4, count_terms(texts), 4) == {}
