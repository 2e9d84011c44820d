"""Synthetic sentences with three labels each: what they are about, what kind they are, and their mood.

Made from templates because no labelled set of these tasks comes with the package. A sentence is about one thing
(technology, science or anything else), said in one of three ways (something personal, a general fact, something about
an app) with a mood. One in five mentions a thing of another topic in passing, and `LABEL_NOISE` of the labels of each
kind are drawn anew: scores on it say that a model learns, and nothing about the world.
"""

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from minitx.errors import InputError

SENTENCES_NAME = "synthetic sentences"
LABEL_NOISE = 0.05
COLUMNS = ("topic", "kind", "sentiment")
WORD_LISTS = Path(__file__).parent / "synthetic_sentences.toml"


def synthetic_sentences(n: int = 3000, seed: int = 0) -> pd.DataFrame:
    """Make n sentences; columns text, topic, kind, sentiment. The same n and seed give the same frame.

    Raises InputError if n is below 1.
    """
    if n < 1:
        raise InputError(f"{n} synthetic sentences: expected at least 1")
    rng, words = np.random.default_rng(seed), tomllib.loads(WORD_LISTS.read_text(encoding="utf-8"))
    templates = [(kind, mood, texts) for kind, moods in words["templates"].items() for mood, texts in moods.items()]

    def pick(options: Sequence[Any]) -> Any:
        return options[int(rng.integers(len(options)))]

    rows = []
    for _ in range(n):
        topic, (kind, mood, texts) = pick(list(words["things"])), pick(templates)
        text = pick(texts).format(pick(words["things"][topic]))
        if rng.random() < 0.2:
            text = pick(words["asides"]).format(pick(words["things"][pick(list(words["things"]))])) + text
        rows.append((text[0].upper() + text[1:] + pick(words["endings"]), topic, kind, mood))
    frame = pd.DataFrame(rows, columns=["text", *COLUMNS])
    for column in COLUMNS:
        noisy = rng.random(n) < LABEL_NOISE
        frame.loc[noisy, column] = rng.permutation(frame[column])[noisy]
    return frame
