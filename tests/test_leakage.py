"""What two parts share is found, all of it, and nothing else."""

import json
from itertools import product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, strategies as st

from minitx.data.reviews import read_reviews
from minitx.data.split import LabelledTexts, normalise, split
from minitx.errors import InputError
from minitx.evaluation.leakage import KINDS, SIMILARITY, leakage_report


def rows(texts, ids=None):
    labels = np.zeros(len(texts), dtype=np.int64)
    return LabelledTexts(list(texts), {"head": labels}, {"head": ("a", "b")}, ids or [None] * len(texts))


TRAIN = rows(
    ["Great app!", "it crashes all the time since the update", "one two three four five", "plain"],
    ["r1", None, "r3", "r4"],
)
TEST = rows(
    [
        "great APP",
        "since the update it crashes all the time",  # the same words
        "one two three four five six",  # five of six
        "one two three four six",  # four of six: not near
        "nothing like it",
        "great app, indeed",  # two of three
    ],
    [None, None, None, "r9", "r3", None],
)


def test_each_kind_is_found_and_nothing_else():
    report = leakage_report(TRAIN, TEST)
    assert report.pairs == {"same_text": [(0, 0)], "same_id": [(4, 2)], "near": [(1, 1), (2, 2)]}
    assert json.loads(json.dumps(report.to_dict())) == {
        "train_rows": 4,
        "test_rows": 6,
        "same_text": 1,
        "same_id": 1,
        "near": 2,
    }


def test_the_text_says_what_counts_and_shows_examples():
    text = str(leakage_report(TRAIN, TEST))
    assert "6 test rows against 4 training rows" in text
    assert "1 (16.7%) the same text" in text
    assert "at least 80% of the two texts' distinct words are in both" in text
    assert "training  it crashes all the time since the update" in text
    assert len(max(str(leakage_report(rows(["long " * 90]), rows(["long " * 90]))).splitlines(), key=len)) < 130


def test_files_may_call_their_column_anything(tmp_path):
    for name, texts in (("a.csv", ["good", "bad"]), ("b.csv", ["good"])):
        (tmp_path / name).write_text("\n".join(["message", *texts]), encoding="utf-8")
    files = [tmp_path / "a.csv", tmp_path / "b.csv"]
    assert leakage_report(*files, text="message").rows("same_text") == 1
    with pytest.raises(InputError, match=r"the header has message; .* --text \(text= in Python\)"):
        leakage_report(*files)


def test_a_table_is_no_list_of_its_columns_names():
    table = pd.DataFrame({"content": ["love it", "too slow"]})
    assert leakage_report(table["content"], ["love it"]).rows("same_text") == 1
    assert leakage_report(table, table, text="content").rows("same_text") == 2
    with pytest.raises(InputError, match="or a column, not one DataFrame, whose items are its columns' names"):
        leakage_report(table, table)


def test_nothing_in_common():
    report = leakage_report(TRAIN, rows(["entirely different"]))
    assert report.rows("same_text") == report.rows("same_id") == 0
    assert not any(map(report.rows, KINDS))
    assert leakage_report(rows([]), rows([])).rows("same_text") == 0


texts = st.lists(st.text("abcdef ", max_size=14), max_size=12)


@given(texts, texts)
def test_near_duplicates_are_those_that_comparing_every_pair_finds(train, test):
    report = leakage_report(rows(train), rows(test))
    train, test = [[normalise(text) for text in part] for part in (train, test)]
    near = set()
    for (i, a), (_, b) in product(enumerate(test), enumerate(train)):
        one, other = set(a.split()), set(b.split())
        if a not in train and one | other and len(one & other) / len(one | other) >= SIMILARITY:
            near.add(i)
    assert {row for row, _ in report.pairs["near"]} == near
    assert {row for row, _ in report.pairs["same_text"]} == {i for i, a in enumerate(test) if a in train}


def test_real_reviews_leak_under_a_random_split_and_not_under_ours(real_reviews):
    data, _ = read_reviews(real_reviews)
    parts = split(data, seed=0)
    ours = leakage_report(parts.train, parts.test)
    assert ours.rows("same_text") == ours.rows("same_id") == 0
    assert ours.rows("near") < 0.02 * len(parts.test)
    order = np.random.default_rng(0).permutation(len(data))
    random = leakage_report(data.subset(order[:4200]), data.subset(order[4200:5400]))
    assert random.rows("same_text") / 1200 == pytest.approx(0.2, abs=0.04)
    assert random.rows("same_id") / 1200 == pytest.approx(0.08, abs=0.03)


def test_lists_and_files_are_compared_as_well(tmp_path):
    report = leakage_report(TRAIN.texts, TEST.texts)
    assert report.pairs == leakage_report(TRAIN, TEST).pairs | {"same_id": []}
    (tmp_path / "train.txt").write_text("\n".join(TRAIN.texts), encoding="utf-8")
    lines = [f"{i or ''},{json.dumps(text)}" for i, text in zip(TEST.ids, TEST.texts, strict=True)]
    (tmp_path / "test.csv").write_text("\n".join(["reviewId,content", *lines]), encoding="utf-8")
    assert leakage_report(tmp_path / "train.txt", str(tmp_path / "test.csv")).pairs == report.pairs
    (tmp_path / "train.csv").write_text("reviewId,text\nr9,anything\n", encoding="utf-8")
    assert leakage_report(tmp_path / "train.csv", tmp_path / "test.csv").pairs["same_id"] == [(3, 0)]


def test_a_text_that_is_none_is_refused():
    for nothing in (None, float("nan")):
        with pytest.raises(InputError, match="a text must be a str, got"):
            leakage_report(["a", nothing], ["b"])


def test_a_kind_that_there_is_not_is_refused():
    with pytest.raises(InputError, match="no kind 'foo'; "):
        leakage_report(["a"], ["b"]).rows("foo")
