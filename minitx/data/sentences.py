"""Synthetic sentences with three labels each: what they are about, what kind they are, and their mood.

Made from templates because no labelled set of these tasks comes with the package. A sentence is about one thing
(technology, science or anything else), said in one of three ways (something personal, a general fact, something about
an app) with a mood. One in five mentions a thing of another topic in passing, and `LABEL_NOISE` of the labels of each
kind are drawn anew: scores on it say that a model learns, and nothing about the world.
"""

import numpy as np
import pandas as pd

from minitx.errors import InputError

SENTENCES_NAME = "synthetic sentences"
LABEL_NOISE = 0.05
COLUMNS = ("topic", "kind", "sentiment")


def _any_of(options: str) -> tuple[str, ...]:
    return tuple(options.split("|"))


THINGS = {
    "technology": _any_of(
        "the laptop|the router|the graphics card|the operating system|the smart watch|the printer|the web browser|"
        "the phone battery|the cloud backup|the drone|the keyboard|the robot vacuum|the touch screen|the compiler|"
        "the firmware|the headset|the database|the charger|the password manager|the chip"
    ),
    "science": _any_of(
        "the telescope|photosynthesis|the vaccine trial|gravity|the fossil record|the cell membrane|dark matter|"
        "the periodic table|plate tectonics|the human genome|black holes|the ice core|quantum theory|the comet|"
        "bacteria|the water cycle|evolution|the food chain|magnetism|the carbon atom"
    ),
    "other": _any_of(
        "the soup|the train to work|the football match|the garden|the novel|the landlord|the wedding|the rain|"
        "the bakery|the piano lesson|the holiday|the neighbour's dog|the museum|the rent|the choir|the haircut|"
        "the market|the old town|breakfast|the board game"
    ),
}
TEMPLATES = {
    ("personal", "positive"): _any_of(
        "i love {}|{} made my whole week|i can not get enough of {}|my family is so happy about {}|i enjoy {} a lot"
    ),
    ("personal", "negative"): _any_of(
        "i am fed up with {}|{} ruined my evening|i regret that i ever bothered with {}|we were let down by {}|"
        "my patience with {} is gone"
    ),
    ("personal", "neutral"): _any_of(
        "i thought about {} this morning|my sister asked me about {}|we talked about {} for an hour|"
        "i read something on {} yesterday|last year i had to deal with {}"
    ),
    ("fact", "positive"): _any_of(
        "{} has improved the lives of millions|experts praise {}|{} is among the best things of the century|"
        "{} brings great benefits to society|surveys show that people are delighted by {}"
    ),
    ("fact", "negative"): _any_of(
        "{} causes thousands of accidents a year|experts warn about {}|{} is the worst cause of delays|"
        "{} does serious harm to many people|surveys show that people suffer from {}"
    ),
    ("fact", "neutral"): _any_of(
        "{} consists of several parts|{} was first described long ago|most books have a chapter on {}|"
        "there are many kinds of opinions on {}|{} differs from country to country"
    ),
    ("app", "positive"): _any_of(
        "this app explains {} brilliantly|five stars for the page on {} in the app|the app makes {} easy and fun|"
        "great update, the app finally covers {}|the app is a lovely way to follow {}"
    ),
    ("app", "negative"): _any_of(
        "the app crashes whenever i open the page on {}|the update broke everything about {}|"
        "the app is useless for {}|one star, the app gets {} wrong|the app is painfully slow with {}"
    ),
    ("app", "neutral"): _any_of(
        "the app has a page on {}|the menu of the app lists {}|the new version adds a section about {}|"
        "you can search the app for {}|the app sends a message about {} every monday"
    ),
}
ASIDES = _any_of("unlike {}, |speaking of {}, |never mind {}: |apart from {}, |after a word about {}, ")
ENDINGS = _any_of("|.|!|, honestly|, as far as i know|, by the way| these days| again|, they say| at the moment")


def synthetic_sentences(n: int = 3000, seed: int = 0) -> pd.DataFrame:
    """Make n sentences; columns text, topic, kind, sentiment. The same n and seed give the same frame.

    Raises InputError if n is below 1.
    """
    if n < 1:
        raise InputError(f"{n} synthetic sentences: expected at least 1")
    rng = np.random.default_rng(seed)

    def pick(options: tuple[str, ...]) -> str:
        return options[int(rng.integers(len(options)))]

    rows = []
    for _ in range(n):
        topic, (kind, sentiment) = pick(tuple(THINGS)), list(TEMPLATES)[int(rng.integers(len(TEMPLATES)))]
        text = pick(TEMPLATES[kind, sentiment]).format(pick(THINGS[topic]))
        if rng.random() < 0.2:
            text = pick(ASIDES).format(pick(THINGS[pick(tuple(THINGS))])) + text
        rows.append((text[0].upper() + text[1:] + pick(ENDINGS), topic, kind, sentiment))
    frame = pd.DataFrame(rows, columns=["text", *COLUMNS])
    for column in COLUMNS:
        noisy = rng.random(n) < LABEL_NOISE
        frame.loc[noisy, column] = rng.permutation(frame[column])[noisy]
    return frame
