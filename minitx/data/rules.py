"""Labels by rule, for tasks that nobody has labelled: a class is a test of the stars, of the words, or of both.

Such labels say what the rule says and no more: a model that predicts them has learnt the rule, from texts that may
carry more than the words it looks for.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from minitx.errors import InputError, suggestion

NO_LABEL = -100  # losses and reports skip it
MOST_CLASSES = 500  # of a head: figures and pictures of more would be read by nobody, and need C x C numbers
MOST_CHARACTERS = 20_000  # of a list of words: every text is searched for each of them


@dataclass(frozen=True)
class TextRule:
    """A head whose classes are tried in order: the label is the first whose test a review passes, if there is one."""

    column: ClassVar[str] = "score"  # the column it reads beside the text, and the values it accepts there
    allowed: ClassVar[range] = range(1, 6)

    name: str
    classes: tuple[str, ...]
    tests: tuple[tuple[tuple[int, ...], re.Pattern[str] | None], ...]  # of each class: stars, () for all; and words

    def label(self, texts: Sequence[str], scores: np.ndarray) -> np.ndarray:
        """Class numbers (N,) int64 of N texts with scores (N,), -100 where no class fits."""
        labels = np.full(len(texts), NO_LABEL, dtype=np.int64)
        for row, (text, score) in enumerate(zip(texts, scores.tolist(), strict=True)):
            for number, (accepted, pattern) in enumerate(self.tests):
                if (not accepted or score in accepted) and (pattern is None or pattern.search(text)):
                    labels[row] = number
                    break
        return labels


def read_rules(rules: Mapping[str, Any], words: Mapping[str, Any]) -> list[TextRule]:
    """Rules as a recipe states them, one for each head; `InputError` for what is misspelt or cannot work.

    >>> words = {"technical": "crash*, log in"}   # words and phrases, * for any ending, whatever the case
    >>> rules = {"complaint": {"technical": {"score": [1, 2], "words": "technical"}, "other": {"score": [1, 2]}}}
    >>> read_rules(rules, words)[0].label(["it crashed", "so dull", "crashes, love it"], np.array([1, 2, 5])).tolist()
    [0, 1, -100]
    """
    patterns = {name: _pattern(name, value) for name, value in words.items()}
    read = []
    for head, classes in rules.items():
        if not isinstance(classes, Mapping) or not 2 <= len(classes) <= MOST_CLASSES:
            raise InputError(f"rules.{head}: expected at least two classes, at most {MOST_CLASSES}, each with its test")
        tests = (_read_test(f"rules.{head}.{name}", test, patterns) for name, test in classes.items())
        read.append(TextRule(head, tuple(classes), tuple(tests)))
    return read


def _pattern(name: str, value: Any) -> re.Pattern[str]:
    phrases = [phrase.strip() for phrase in value.split(",") if phrase.strip()] if isinstance(value, str) else []
    if not phrases:
        raise InputError(f"words.{name}: expected words with commas between them, as in 'crash*, log in'")
    if len(value) > MOST_CHARACTERS:
        raise InputError(f"words.{name} has {len(value):,} characters; at most {MOST_CHARACTERS:,} are accepted")
    if twice := [word for word in re.findall(r"[\w*]+", value) if word.count("*") > 1]:  # its search might never end
        raise InputError(f"words.{name}: {twice[0]!r:.60}; * stands for any ending, so a word has at most one")
    accepted = "|".join(re.escape(phrase).replace(r"\*", r"\w*") for phrase in phrases)
    return re.compile(rf"\b(?:{accepted})(?!\w)", re.IGNORECASE)


def _read_test(
    where: str, test: Any, patterns: Mapping[str, re.Pattern[str]]
) -> tuple[tuple[int, ...], re.Pattern[str] | None]:
    """(stars accepted, pattern) of one class."""
    if not isinstance(test, Mapping):
        raise InputError(f"{where}: expected a test such as {{ score = [1, 2], words = 'bugs' }}, not {test!r:.60}")
    for key in test:
        if key not in ("score", "words"):
            raise InputError(f"{where}: unknown key {key!r}; {suggestion(key, ('score', 'words'))}")
    scores, name = test.get("score", []), test.get("words")
    if not isinstance(scores, list) or not all(type(s) is int and 1 <= s <= 5 for s in scores):
        raise InputError(f"{where}: score is {scores!r:.60}; expected a list of stars, 1 to 5")
    if name is not None and (not isinstance(name, str) or name not in patterns):
        raise InputError(f"{where}: no list of words is named {name!r:.60}: there is {', '.join(patterns) or 'none'}")
    return tuple(scores), patterns[name] if name is not None else None
