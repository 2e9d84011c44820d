"""The synthetic reviews: reproducible, as untidy as promised, learnable but not to 100 %."""

import hashlib

import numpy as np
import pandas as pd
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score

from minitx.data.reviews import label_reviews, read_reviews
from minitx.data.samples import LABEL_NOISE, SYNTHETIC_NAME, synthetic_reviews, synthetic_sentences
from minitx.data.split import normalise, split
from minitx.errors import InputError


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return synthetic_reviews()


def test_same_seed_same_frame(frame: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(frame, synthetic_reviews())
    assert (frame["content"] != synthetic_reviews(seed=1)["content"]).mean() > 0.5


@pytest.mark.parametrize(
    ("make", "n", "seed", "expected"),
    [
        (synthetic_reviews, 4000, 0, "2a5723eddf24a20e"),
        (synthetic_reviews, 300, 1, "f14132a0748bd269"),
        (synthetic_sentences, 4000, 0, "421eb0836340d597"),
        (synthetic_sentences, 300, 1, "d9691d23901044ed"),
    ],
)
def test_a_seed_means_the_same_rows_for_ever(make, n, seed, expected) -> None:
    """Figures in the documentation are about these very rows, so a word more or a list in another order shows."""
    written = make(n, seed).to_csv(index=False, lineterminator="\n")
    assert hashlib.sha256(written.encode()).hexdigest()[:16] == expected


def test_schema(frame: pd.DataFrame) -> None:
    columns = "reviewId userName content score thumbsUpCount reviewCreatedVersion at appVersion"
    assert " ".join(frame.columns) == columns
    assert len(frame) == 4000
    assert frame["score"].dropna().between(1, 5).all()
    assert frame["thumbsUpCount"].dtype == np.int64
    assert frame["at"].is_monotonic_decreasing
    assert SYNTHETIC_NAME.startswith("synthetic")
    assert frame["userName"].str.startswith("synthetic_").all()


def test_as_untidy_as_a_real_export(frame: pd.DataFrame) -> None:
    texts = frame["content"].dropna()
    words = texts.str.split().str.len()
    assert frame[["content", "score", "appVersion"]].isna().any().all()
    assert (texts.str.strip() == "").any()
    assert frame["reviewId"].duplicated().mean() > 0.01
    assert texts.duplicated().mean() > 0.08
    assert texts.map(normalise).nunique() < texts.nunique()  # near duplicates
    assert texts.str.contains("[👍😍🎉👎😡😐]").mean() > 0.05
    assert texts.isin(["None", "NA"]).any()
    assert (words == 1).mean() > 0.05
    assert words.max() > 200


def test_thumbs_up_are_heavy_tailed_and_go_to_long_complaints(frame: pd.DataFrame) -> None:
    thumbs = frame["thumbsUpCount"]
    assert thumbs.median() == 0
    assert thumbs.nlargest(len(thumbs) // 100).sum() > 0.2 * thumbs.sum()
    long = frame["content"].str.len() > 80
    complaint = frame["score"].fillna(3) < 3
    assert thumbs[long].mean() > 3 * thumbs[~long].mean()
    assert thumbs[complaint].mean() > 1.5 * thumbs[~complaint].mean()


def test_some_stars_contradict_their_text(frame: pd.DataFrame) -> None:
    praise = frame["content"].fillna("").str.contains("well done|keep it up|five stars|install it again", case=False)
    contradicted = (frame["score"][praise] <= 3).mean()
    assert LABEL_NOISE / 4 < contradicted < LABEL_NOISE


def test_class_shares(frame: pd.DataFrame) -> None:
    data, audit = label_reviews(frame)
    shares = {head: data.class_counts(head) / len(data) for head in data.labels}
    np.testing.assert_allclose(shares["sentiment"], [0.44, 0.12, 0.44], atol=0.03)
    np.testing.assert_allclose(shares["engagement"], [0.85, 0.05, 0.10], atol=0.025)
    assert audit.dropped.keys() == {"content missing or blank", "score missing or not an integer"}


def test_through_a_file_and_back(frame: pd.DataFrame, tmp_path) -> None:
    frame.to_csv(tmp_path / "synthetic.csv", index=False)
    direct, _ = label_reviews(frame)
    read, audit = read_reviews(tmp_path / "synthetic.csv")
    assert read.texts == direct.texts
    for head in direct.labels:
        np.testing.assert_array_equal(read.labels[head], direct.labels[head])
    assert read.ids == direct.ids
    assert audit.read == 4000


def test_word_counts_learn_it_but_not_all_of_it(frame: pd.DataFrame) -> None:
    parts = split(label_reviews(frame)[0])
    vectorizer = TfidfVectorizer(sublinear_tf=True)
    train, test = vectorizer.fit_transform(parts.train.texts), vectorizer.transform(parts.test.texts)
    accuracy, macro_f1 = {}, {}
    for head, truth in parts.test.labels.items():
        model = LogisticRegression(C=5.0, max_iter=1000).fit(train, parts.train.labels[head])
        accuracy[head] = accuracy_score(truth, model.predict(test))
        macro_f1[head] = f1_score(truth, model.predict(test), average="macro")
    assert 0.78 < accuracy["sentiment"] < 1 - LABEL_NOISE / 2
    assert macro_f1["engagement"] > 0.5  # always "low" gets 0.31


@pytest.mark.parametrize("n", [1, 2, 17])
def test_small_frames(n: int) -> None:
    assert len(synthetic_reviews(n, seed=3)) == n


def test_none_is_refused() -> None:
    with pytest.raises(InputError, match="0 synthetic reviews: expected at least 1"):
        synthetic_reviews(0)
