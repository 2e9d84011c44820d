"""What can one train on without a download? Synthetic reviews of an app that does not exist, and synthetic sentences.

The reviews are shaped like a real export. Each is written for its stars: clauses (aspect x opinion x intensity x
negation), perhaps a story or a wish, then typos, emoji and shouting. The words are in synthetic_reviews.toml. So it is
known what can be learnt from them, and what cannot:

- sentiment: "not bad" is praise, and "bad, but good" depends on the order, so counting words is not quite enough;
- engagement: stories are found helpful, wishes somewhat, complaints a little; the rest is heavy-tailed luck;
- `LABEL_NOISE` of the rows get stars drawn anew, whatever their text says; six in ten of those change class, so that
  no honest sentiment accuracy exceeds some 96 %. TF-IDF with logistic regression reaches 0.85 (majority 0.44), and 0.73
  macro-F1 for engagement (always "low": 0.31).
"""

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from minitx.errors import InputError

SYNTHETIC_NAME = "synthetic reviews"  # every place that prints a result on them says so
LABEL_NOISE = 0.06
STARS = {1: 0.34, 2: 0.10, 3: 0.12, 4: 0.12, 5: 0.32}  # the share of each

SENTENCES_NAME = "synthetic sentences"
SENTENCE_NOISE = 0.05
COLUMNS = ("topic", "kind", "sentiment")
SLOTS = ("thing", "so", "here", "that", "such", "there", "opposite")  # of a sentence's form


def word_lists(name: str) -> dict[str, Any]:
    """What the "reviews" or the "sentences" are written from, in the TOML file beside this one."""
    return tomllib.loads((Path(__file__).parent / f"synthetic_{name}.toml").read_text(encoding="utf-8"))


class _Writer:
    """Writes `n` texts, one after another, from one generator; `name` is that of a word list."""

    def __init__(self, n: int, seed: int, name: str):
        if n < 1:
            raise InputError(f"{n} synthetic {name}: expected at least 1")
        self.rng, self.words = np.random.default_rng(seed), word_lists(name)

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def pick(self, options: Sequence[Any]) -> Any:
        return options[int(self.rng.integers(len(options)))]

    def word(self, kind: str, tone: str = "") -> str:
        """A word of this kind; where the kind has a list for each tone ("good", "bad", "mixed"), say which."""
        return self.pick((self.words[tone] if tone else self.words)[kind])

    def clause(self, tone: str) -> str:
        """One opinion on one aspect; some say it by denying the opposite."""
        aspect, form = self.word("aspects"), self.rng.random()
        if form < 0.15 and tone != "mixed":
            opposite = "bad" if tone == "good" else "good"
            return f"{aspect} {self.word('negations').format(self.word('adjectives', opposite))}"
        if form < 0.45:
            return f"{aspect} {self.word('deeds', tone)}"
        if form < 0.6:
            return self.word("feelings", tone).format(aspect)
        return f"{aspect} is {self.word('intensities')}{self.word('adjectives', tone)}"

    def review(self, stars: int) -> tuple[str, float]:
        """A text for so many stars, and the logarithm of the thumbs-up it may expect."""
        tone = "good" if stars > 3 else "bad" if stars < 3 else "mixed"
        if self.chance(0.1):
            return self.word("one_liners", tone), -1.5
        if self.chance(0.1):
            return f"{self.word('intensities')}{self.word('adjectives', tone)}{self.word('endings')}", -1.5
        clauses = [self.clause(tone) for _ in range(min(1 + self.rng.geometric(0.5), 6))]
        if self.chance(0.004):
            clauses += [self.clause(tone) for _ in range(self.rng.integers(40, 90))]
        interest = -1.7 + 0.1 * min(len(clauses), 6) + 0.3 * (tone == "bad")
        if stars == 3 and self.chance(0.5):  # praise and blame in equal parts
            first, second = ("good", "bad") if self.chance(0.5) else ("bad", "good")
            clauses[0] = f"{self.clause(first)} but {self.clause(second)}"
        elif self.chance(0.35 if stars in (2, 4) else 0.08):  # what follows the "but" decides
            clauses[0] = f"{self.clause('bad' if tone == 'good' else 'good')} but {clauses[0]}"
        if self.chance(self.words[tone]["story_chance"]):
            clauses.append(f"{self.word('story_starts')} {self.word('story_events')} {self.word('story_ends')}")
            interest += 4.7
        elif self.chance(self.words[tone]["wish_chance"]):
            clauses.append(self.word("wishes").format(self.word("features")))
            interest += 3.1
        if self.chance(0.4):
            clauses.append(self.word("verdicts", tone))
        return self.punctuate(clauses, tone), interest

    def punctuate(self, clauses: list[str], tone: str) -> str:
        sloppy = self.chance(0.3)
        text = self.pick([" ", ", ", "... "] if sloppy else [". ", "! ", ".\n"]).join(
            clause if sloppy else clause[0].upper() + clause[1:] for clause in clauses
        )
        if self.chance(0.15):
            text += " " + self.word("emoji", tone) * int(self.rng.integers(1, 4))
        elif not sloppy:
            text += self.pick((".", "!"))
        if self.chance(0.04):
            text = text.upper()
        return self.misspell(text) if self.chance(0.25) else text

    def misspell(self, text: str) -> str:
        """One to three slips of the finger: a letter left out, doubled, or swapped with the next."""
        for _ in range(self.rng.integers(1, 4)):
            at = int(self.rng.integers(max(1, len(text) - 1)))
            pair = text[at : at + 2]
            text = text[:at] + self.pick([pair[1:], pair[0] + pair, pair[::-1]]) + text[at + 2 :]
        return text


def synthetic_reviews(n: int = 4000, seed: int = 0) -> pd.DataFrame:
    """Make n synthetic reviews, newest first; the same n and seed give the same frame.

    Columns: reviewId, userName, content, score (Int64, may be missing), thumbsUpCount (int64), reviewCreatedVersion,
    at, appVersion. Like a real export it has missing cells, repeated and nearly repeated texts, and repeated ids.
    Raises InputError if n is below 1.
    """
    writer = _Writer(n, seed, "reviews")
    rng = writer.rng
    stars = rng.choice(list(STARS), size=n, p=list(STARS.values()))
    written = [writer.review(count) for count in stars.tolist()]
    interest = np.array([expected for _, expected in written])
    stars = np.where(rng.random(n) < LABEL_NOISE, rng.choice(list(STARS), size=n), stars)
    luck = rng.normal(0, 0.3, n) + rng.exponential(0.35, n)  # the exponential of an exponential: a heavy (Pareto) tail
    version = [f"{major}.{minor}.0" for major, minor in zip(rng.integers(3, 6, n), rng.integers(0, 30, n), strict=True)]
    seconds = np.sort(rng.integers(0, 90 * 86_400, n))[::-1]  # some ninety days
    frame = pd.DataFrame(
        {
            "reviewId": [rng.bytes(16).hex() for _ in range(n)],
            "userName": [f"synthetic_{row:05d}" for row in range(n)],
            "content": pd.Series([text for text, _ in written], dtype=object),
            "score": pd.array(stars, dtype="Int64"),
            "thumbsUpCount": rng.poisson(np.exp(interest + luck)),
            "reviewCreatedVersion": pd.Series(version, dtype=object),
            "at": (np.datetime64("2024-01-01") + seconds.astype("timedelta64[s]")).astype("datetime64[s]"),
        }
    )

    def some(share: float) -> np.ndarray:
        return rng.permutation(n)[: round(share * n)]

    def repeat(rows: np.ndarray, columns: list[str]) -> None:
        frame.loc[rows, columns] = frame.loc[rng.integers(n, size=len(rows)), columns].to_numpy()

    copies, near_copies = some(0.02), some(0.02)
    repeat(copies, ["content", "score"])
    repeat(near_copies, ["content", "score"])
    frame.loc[near_copies, "content"] = [text.lower().rstrip(".!") + "!!" for text in frame.loc[near_copies, "content"]]
    repeat(some(0.02), ["reviewId", "userName"])  # somebody again, with another text
    frame.loc[some(0.004), "content"] = None
    frame.loc[some(0.002), "content"] = "  "
    frame.loc[some(0.003), "score"] = pd.NA
    frame.loc[some(0.2), "reviewCreatedVersion"] = None
    return frame.assign(appVersion=frame["reviewCreatedVersion"])


# --- sentences with three labels each -------------------------------------------------------------------------------


def synthetic_sentences(n: int = 3000, seed: int = 0) -> pd.DataFrame:
    """Make n sentences; columns text, topic, kind, sentiment. The same n and seed give the same frame.

    There is no labelled set of these tasks that could come with the package. A sentence is about one thing (technology,
    science or anything else), said in one of three ways (something personal, a general fact, something about an app)
    with a mood. Three in four say something else as well, which has other labels: what others said, what is true of
    another thing, what is conceded or denied. Which of the two counts depends on the order of the words. A quarter of
    the sentences say it in words of their own. `SENTENCE_NOISE` of the labels of each kind are drawn anew, so that no
    honest accuracy exceeds 0.97: scores say that a model learns, and nothing about the world.

    Raises InputError if n is below 1.
    """
    writer = _Writer(n, seed, "sentences")
    rng, words, pick = writer.rng, writer.words, writer.pick

    def another(table: str, than: str) -> str:
        return pick(words[table][pick([name for name in words[table] if name != than])])

    rows = []
    for _ in range(n):
        topic, kind, mood = (pick(list(words[table])) for table in ("things", "views", "verdicts"))
        forms = pick([words["templates"][kind][mood], *words["forms"].values()])
        form = pick([form for form in forms if mood != "neutral" or "{opposite}" not in form])
        labels = {"things": topic, "verdicts": mood, "views": kind}
        said = [pick(words[table][label]) for table, label in labels.items()]
        beside = [another(table, label) for table, label in labels.items()]
        opposite = pick(words["verdicts"]["negative" if mood == "positive" else "positive"])
        text = form.format(**dict(zip(SLOTS, [*said, *beside, opposite], strict=True)))
        rows.append((text[0].upper() + text[1:] + pick(words["endings"]), topic, kind, mood))
    frame = pd.DataFrame(rows, columns=["text", *COLUMNS])
    for column in COLUMNS:
        noisy = rng.random(n) < SENTENCE_NOISE
        frame.loc[noisy, column] = rng.permutation(frame[column])[noisy]
    return frame
