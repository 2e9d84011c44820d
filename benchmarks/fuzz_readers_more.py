"""What is fuzzed beside model directories: settings, CSV and text files, result directories, vectors."""

import json
import os
import re
from argparse import Namespace
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from functools import cache
from io import StringIO
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.fuzz_mutate import NUMBERS, STRUCTURED, mutate_bytes
from benchmarks.fuzz_readers import Reader, write_model
from minitx.app import cli
from minitx.app.embed import map_vectors
from minitx.app.predict import predict
from minitx.app.prepare import make_plan
from minitx.app.settings import Experiment, apply_assignment, experiment_of, read_recipe
from minitx.data.labelled import read_labelled
from minitx.data.reviews import REVIEW_RULES, read_reviews
from minitx.data.rules import read_rules
from minitx.data.split import LabelledTexts
from minitx.data.texts import stream_texts
from minitx.models.encoder import SentenceEncoder
from minitx.models.multitask import MultiTaskModel
from minitx.models.search import semantic_search
from minitx.models.task_weights import TaskWeights
from minitx.terminal import shown
from minitx.training.baseline import BagOfWords
from minitx.training.checkpoint import save_model
from minitx.writing import write_json

TEXTS = ["it's a great app", "unaffable app, it crashes", "great!", "un aff able"]
CLASSES = {"sentiment": ("bad", "good"), "topic": ("app", "price", "other")}


def printable(text: str) -> None:
    """What is printed controls no terminal."""
    assert all(shown(line) == line for line in text.split("\n")), f"not printable: {text!r:.500}"


# -- settings ----------------------------------------------------------------------------------------------------

RECIPE = """
about = "a recipe"
data = "reviews.csv"
seed = 3
pretrained = ""
vocab_size = 300
hidden_size = 16
num_heads = 2
max_length = 32
activation = "relu"
norm_first = true
dropout = 0.1
freeze = ["embeddings"]
epochs = 6
batch_size = 8
lr = 5e-4
layer_decay = 0.9
schedule = "cosine"
warmup = 0.1
max_grad_norm = inf
class_weighting = 0.5
threads = 2
[[stages]]
train = ["heads"]
[[stages]]
epoch = 3
train = ["heads", "top 1"]
rate = 0.2
[rates]
heads = 1e-3
upper = 5e-5
[task_weights]
sentiment = 2.0
[rules.sentiment]
bad = { score = [1, 2] }
good = { score = [4, 5] }
[rules.topic]
app = { score = [1, 2], words = "technical" }
price = { words = "money" }
other = { score = [3] }
[words]
technical = "crash*, log in, do*n't"
money = "pric*, 99"
[two_stage]
topic = ["sentiment", "topic"]
"""
ASSIGNMENTS = """lr=3e-5
rates.top 1=1e-5
stages=[{train = 'heads'}, {train = ["everything"], epoch = 2, rate = 0.5}]
data=my reviews.csv
rules.topic={app={score=[1]}, price={score=[2]}, other={words="w"}}
task_weights.topic=2
words.w=crash*
freeze=['embeddings', 'lower']
hidden_size=64
two_stage.topic=["a", "b"]
normalize=true
"""


def use_experiment(e: Experiment) -> None:
    """Label texts by its rules, and plan to train a model."""
    for rule in read_rules(e.rules, e.words):
        rule.label([*TEXTS, "a" * 5000, "a " * 2000], np.array([1, 2, 3, 4, 5, 5]))
    model = _model()
    plan = make_plan(e, model, TaskWeights(model.heads, e.task_weights, e.task_weighting == "uncertainty"), 100)
    for step in (0, plan.total_steps // 2, plan.total_steps - 1):
        plan.at(step)


def _make_recipe(directory: Path) -> dict[str, list[bytes]]:
    (directory / "mine.toml").write_text(RECIPE, encoding="utf-8")
    labelled = b'data = "x.csv"\ntext = "t"\nfreeze = "backbone"\n[labels]\nmood = "feeling"\n'
    return {"mine.toml": [labelled.replace(b'"backbone"', b'["backbone"]')]}


def _make_assignments(directory: Path) -> dict[str, list[bytes]]:
    (directory / "set.toml").write_text(ASSIGNMENTS, encoding="utf-8")
    return {"set.toml": []}


def use_assignments(path: Path) -> None:
    """A line for each --set."""
    settings: dict[str, object] = {}
    for line in os.fsdecode(path.read_bytes()).split("\n"):
        if line.strip():
            apply_assignment(settings, line)
    use_experiment(experiment_of(settings))


# -- CSV and text files ------------------------------------------------------------------------------------------

REVIEWS = """reviewId,content,score,thumbsUpCount,at
1,"it's a great app, really",5,0,x
2,"crashes
all the time",1,13,y
3,"\""quoted\"" text",3.0,7,z
4,😡 é,2,1,z
"""
LABELLED = 'text,a,b\ngreat,x,\n"it\'s, so",y,1\nun,,2\naff,x,1\n'


def _make_reviews(directory: Path) -> dict[str, list[bytes]]:
    (directory / "reviews.csv").write_text(REVIEWS, encoding="utf-8", newline="")
    return {"reviews.csv": [b"\xef\xbb\xbf" + REVIEWS.replace("\n", "\r\n").encode()]}


def _make_labelled(directory: Path) -> dict[str, list[bytes]]:
    (directory / "labelled.csv").write_text(LABELLED, encoding="utf-8", newline="")
    return {"labelled.csv": [LABELLED.replace("\n", "\r").encode()]}


def use_labelled(data: LabelledTexts, audit: object) -> None:
    """Every row is counted, and every label is a class."""
    printable(str(audit))
    assert len(data) == audit.kept == audit.read - sum(audit.dropped.values())  # type: ignore[attr-defined]
    for head, labels in data.labels.items():
        assert ((labels == -100) | ((labels >= 0) & (labels < len(data.classes[head])))).all()


def _make_texts(directory: Path) -> dict[str, list[bytes]]:
    (directory / "x.txt").write_text("great app\n\nit's é 😡\r\nlast", encoding="utf-8", newline="")
    (directory / "x.csv").write_text(LABELLED, encoding="utf-8", newline="")
    return {"x.txt": [], "x.csv": [REVIEWS.encode()]}


# -- result directories ------------------------------------------------------------------------------------------


def _model(encoder: SentenceEncoder | None = None, hidden: int = 0) -> MultiTaskModel:
    rng = np.random.default_rng(0)
    return MultiTaskModel(encoder or _encoder(), CLASSES, hidden=hidden, rng=rng)


@cache
def _encoder() -> SentenceEncoder:
    with TemporaryDirectory() as directory:
        write_model(Path(directory) / "m")
        return SentenceEncoder.from_pretrained(Path(directory) / "m")


def write_result(directory: Path, hidden: int = 0) -> None:
    """A result directory, and rows to evaluate it on."""
    directory.mkdir()
    save_model(_model(hidden=hidden), directory, data={"text": "text", "labels": {head: head for head in CLASSES}})
    labels = {"sentiment": np.array([0, 1, 1, 0]), "topic": np.array([0, 1, 2, -100])}
    BagOfWords.fit(LabelledTexts(TEXTS, labels, CLASSES, [None] * 4)).save(directory / "baseline.safetensors")
    rows = ["text,sentiment,topic,content,score"]
    mood, topic = CLASSES.values()
    rows += [f'"{text}",{mood[i % 2]},{topic[i % 3]},"{text}",{i + 1}' for i, text in enumerate(TEXTS)]
    (directory / "rows.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")


def use_result(path: Path) -> None:
    """`minitx evaluate` and `minitx predict` of the directory that the file is in."""
    common = {"model": str(path.parent), "errors": None, "overwrite": False, "encoding": ""}
    with redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()) as err:
        given = {"text": TEXTS[:2], "data": None, "column": None, "out": None}
        predict(Namespace(**common, **given, format="json"))
        cli._evaluate(Namespace(**common, data=str(path.parent / "rows.csv"), format="text", text=None, label=None))
    printable(out.getvalue())
    printable(err.getvalue())
    assert "nan" not in out.getvalue(), "a figure that is none"


def use_bag_of_words(path: Path) -> None:
    """What `minitx evaluate` does with it beside a model of the same classes, which it makes sure of."""
    model = BagOfWords.load(path)
    for head, probabilities in model.predict_proba(TEXTS).items():
        assert probabilities.shape == (len(TEXTS), len(model.classes[head]))
        assert np.isfinite(probabilities).all(), "a probability that is not finite"
    assert model.knows(TEXTS).shape == (len(TEXTS),)


def _make_result(directory: Path) -> dict[str, list[bytes]]:
    write_result(directory / "linear")
    path = directory / "linear" / "minitx.json"
    rules = {"sentiment": {"bad": {"score": [1, 2]}, "good": {"words": "w"}}}
    rules["topic"] = {"app": {"score": [1]}, "price": {"words": "w", "score": [2]}, "other": {}}
    data = {"text": None, "rules": rules, "words": {"w": "gr*, un"}}
    write_json(directory / "ruled.json", json.loads(path.read_text("utf-8")) | {"data": data})
    return {"linear/minitx.json": [(directory / "ruled.json").read_bytes()]}


def _make_heads(directory: Path) -> dict[str, list[bytes]]:
    write_result(directory / "linear")
    write_result(directory / "mlp", hidden=4)
    return {f"{name}/heads.safetensors": [] for name in ("linear", "mlp")}


def _make_baseline(directory: Path) -> dict[str, list[bytes]]:
    write_result(directory / "linear")
    older = Path(__file__).parents[1] / "tests" / "saved" / "version_2" / "baseline.safetensors"  # two keys of metadata
    return {"linear/baseline.safetensors": [older.read_bytes()]}


# -- vectors -----------------------------------------------------------------------------------------------------


def _make_vectors(directory: Path) -> dict[str, list[bytes]]:
    vectors, others = np.random.default_rng(0).standard_normal((3, 8)), []
    for i, array in enumerate((vectors.astype(">f2"), vectors, np.asfortranarray(vectors, np.float32))):
        np.save(directory / f"{i}.npy", array)
        others.append((directory / f"{i}.npy").read_bytes())
    np.save(directory / "x.npy", vectors.astype(np.float32))
    return {"x.npy": others}


def use_vectors(path: Path) -> None:
    vectors, _ = map_vectors(str(path), (3, 8))
    hits = semantic_search(np.ones((1, 8), np.float32), vectors, top_k=2)[0]
    assert len(hits) == 2
    assert np.isfinite([hit["score"] for hit in hits]).all()


def mutate_npy(rng: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """What the header says, changed, and its length now and then."""
    end = data.index(b"}") + 1
    header = data[10:end].decode()
    kinds = ["'|O'", "'<f4'", "'>f8'", "'<f16'", "'|b1'", "'<U4'", "[('a', '<f4')]", "'<i4'", "'<M8[s]'", "None", "'f'"]
    shapes = [f"({n}, 8)" for n in ("-1", "True", "2.5", *NUMBERS)]
    shapes += ["(8,)", "()", "(3, 8, 1)", "(8, 3)", "3", "[3, 8]"]
    choice = rng.randrange(4)
    if choice == 0:
        header = re.sub(r"'[<>|]f\d'", lambda _: rng.choice(kinds), header, count=1)
    elif choice == 1:
        header = re.sub(r"\(.*\)", lambda _: rng.choice(shapes), header)
    elif choice == 2:
        header = re.sub("True|False", lambda _: rng.choice(["True", "False", "1", "None", "[" * 3000]), header)
    else:
        header = mutate_bytes(rng, header.encode(), []).decode("latin-1")
    text = header.encode("latin-1", "replace")[:60_000].ljust(117) + b"\n"
    length = rng.choice([len(text)] * 5 + [0, 1, len(text) - 1, 65535])
    return data[:8] + length.to_bytes(2, "little") + text + data[data.index(b"\n", 10) + 1 :]


STRUCTURED[".npy"] = mutate_npy

READERS = [
    Reader("recipe", _make_recipe, lambda path: use_experiment(experiment_of(read_recipe(path)))),
    Reader("assignments", _make_assignments, use_assignments),
    Reader("reviews.csv", _make_reviews, lambda path: use_labelled(*read_reviews(path, REVIEW_RULES))),
    Reader(
        "labelled.csv", _make_labelled, lambda path: use_labelled(*read_labelled(path, "text", {x: x for x in "ab"}))
    ),
    Reader("texts", _make_texts, lambda path: list(stream_texts(path))),
    Reader("minitx.json", _make_result, use_result),
    Reader("heads.safetensors", _make_heads, use_result),
    Reader("baseline.safetensors", _make_baseline, use_bag_of_words),
    Reader("vectors.npy", _make_vectors, use_vectors),
]
