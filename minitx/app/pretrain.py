"""`minitx pretrain` and `minitx distill`: a file of texts in, a model directory with its pictures and its table out."""

import argparse
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from minitx.app.manifest import from_labels_alone
from minitx.app.plots import TRAIN, VALIDATION, save, words
from minitx.app.prepare import OBJECTIVES, new_encoder, rate_of, start_from_cooccurrence
from minitx.app.settings import DEFAULTS, SETTINGS, experiment_of
from minitx.data.batches import TokenisedRows
from minitx.data.split import normalise
from minitx.data.texts import stream_texts
from minitx.errors import InputError
from minitx.models.encoder import SentenceEncoder
from minitx.models.hub import find_directory
from minitx.terminal import shown
from minitx.text.truncation import TruncationWarning
from minitx.training.checkpoint import SETTINGS as RESULT
from minitx.training.distillation import Distillation, neighbour_overlap, student_of
from minitx.training.mlm import MaskedLanguageModel
from minitx.training.nonfinite import check_finite
from minitx.training.pretraining import Objective, fit_texts
from minitx.writing import check_target, new_directory, whole_file, write_json

HELD_OUT, FEWEST = 0.05, 20  # share of the texts that judge; with fewer texts there is nothing to learn, or to judge by
SIZES = ("vocab_size", "hidden_size", "num_layers", "num_heads", "intermediate_size", "max_length")  # the last: a limit
HOW = ("epochs", "batch_size", "lr", "seed")
OF_DISTILL = {"epochs": 20, "batch_size": 32, "lr": 5e-4}  # see `benchmarks.bench_distill`
PICTURED, GUESSES = 8, 5  # texts in masked.png, and guesses for each
MOST_COMPARED = 2000  # held-out texts, each with all others
TIMED, ROUNDS = 1000, 3  # texts that teacher and student embed in turn, and how often
Rows = list[TokenisedRows]


def pretrain(a: argparse.Namespace) -> None:
    """`minitx pretrain`."""
    asked = {name: getattr(a, name) for name in (*SIZES, *HOW) if hasattr(a, name)}
    how = {"pretrained": a.base, "lr": rate_of(a.base), "epochs": DEFAULTS["pretraining_epochs"], "dropout": 0.1}
    if own := [f"--{name.replace('_', '-')}" for name in SIZES[:-1] if a.base and name in asked]:
        raise InputError(f"{', '.join(own)}: leave out, {a.base} of --from has its own")
    e = experiment_of(how, asked)
    check_target(Path(a.out), a.overwrite)  # before the wait
    rng = np.random.default_rng(e.seed)
    encoder = SentenceEncoder.from_pretrained(a.base, rng=rng) if a.base else None
    if encoder and asked.get("max_length", 0) > encoder.max_seq_length:
        raise InputError(f"--max-length {e.max_length}: {a.base} reads {encoder.max_seq_length} tokens at most")
    train, held_out = split_texts(a.file, a.text, e.seed, a.encoding)
    encoder = encoder or new_encoder(e, train, rng)
    encoder.max_seq_length = min(encoder.max_seq_length, asked.get("max_length", encoder.max_seq_length))
    rows = tokenised(encoder, train, held_out)
    if not a.base:
        start_from_cooccurrence(encoder, rows[0])
    objective = OBJECTIVES[a.objective](encoder, rows[0].sequences)
    with new_directory(Path(a.out), a.overwrite) as directory:
        learn(objective, rows, directory, a.objective, lr=e.lr, epochs=e.epochs, batch_size=e.batch_size, rng=rng)
        if isinstance(objective, MaskedLanguageModel):
            draw_guesses(objective, rows[1].sequences, directory / "masked.png")
    print(f"\nwritten to {shown(a.out)}; `minitx train --pretrained {shown(a.out)}` puts heads on it")
    print("it has seen the texts of FILE: do not test it on those rows (`minitx train --pretraining` leaves them out)")


def distill(a: argparse.Namespace) -> None:
    """`minitx distill`."""
    e = experiment_of(OF_DISTILL, {name: getattr(a, name) for name in HOW if hasattr(a, name)})
    check_target(Path(a.out), a.overwrite)
    teacher, rng = SentenceEncoder.from_pretrained(a.model), np.random.default_rng(e.seed)
    student = student_of(teacher, a.layers, rng=rng)
    train, held_out = split_texts(a.file, a.text, e.seed, a.encoding)
    rows = tokenised(teacher, train, held_out)
    how = {"lr": e.lr, "epochs": e.epochs, "batch_size": e.batch_size, "rng": rng}
    with new_directory(Path(a.out), a.overwrite) as directory:
        if from_labels_alone(find_directory(a.model)):
            write_json(directory / RESULT, {"from_labels_alone": True})  # it learns what the teacher knows
        learn(Distillation(student, teacher), rows, directory, f"{a.layers} layers", dropout=0.0, **how)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", TruncationWarning)  # there was one, when all texts were tokenised
            table = compared({"teacher": teacher, "student": student}, held_out[:MOST_COMPARED])
        print(f"\n{table.to_string(index=False, na_rep='n/a')}")
        print("shared: of the ten texts nearest to a held-out text (or half of all), those that are the teacher's, too")
        with whole_file(directory / "distilled.csv") as file:
            table.to_csv(file, index=False, lineterminator="\n")
    print(f"\nwritten to {shown(a.out)}; `minitx embed {shown(a.out)} FILE --out X.npy` uses it")


def split_texts(file: str, column: str | None, seed: int, encoding: str = "") -> tuple[list[str], list[str]]:
    """Texts to learn from and others to judge by, each text once: one that stands in both would measure memory."""
    texts = [text for text in stream_texts(file, column, encoding) if text.strip()]
    kept = list({normalise(text): text for text in reversed(texts)}.values())[::-1]
    if len(kept) < FEWEST:
        raise InputError(f"{file}: {len(kept)} different texts; at least {FEWEST} are needed")
    judging = np.zeros(len(kept), bool)
    judging[np.random.default_rng(seed).permutation(len(kept))[: max(2, round(HELD_OUT * len(kept)))]] = True
    train, held_out = ([text for text, judges in zip(kept, judging, strict=True) if judges == j] for j in (False, True))
    found = f"{len(texts):,} texts, {len(kept):,} of them different"
    print(f"{shown(file)}: {found}: {len(train):,} to learn from, {len(held_out):,} held out")
    return train, held_out


def tokenised(encoder: SentenceEncoder, *parts: list[str]) -> Rows:
    """Ids of each part, with one warning if texts were cut."""
    ids = iter(encoder.tokenize([text for part in parts for text in part]))
    return [TokenisedRows([next(ids) for _ in part], {}) for part in parts]


def learn(objective: Objective, rows: Rows, directory: Path, title: str, **how: Any) -> None:
    """Train, with a line for each epoch; then the encoder's files and curve.png."""
    print(f"{title}: {objective.num_parameters():,} weights\n{'epoch':>8}  {'loss':>8}  {'held out':>8}")
    losses = fit_texts(objective, *rows, **how, on_epoch=lambda *line: print("{:8}  {:8.3f}  {:8.3f}".format(*line)))
    check_finite(objective, "after the last epoch")
    objective.encoder.write_files(directory)
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot(title=words(title), xlabel="epoch", ylabel="loss")
    for label, colour, values in zip(("train", "held out"), (TRAIN, VALIDATION), np.transpose(losses), strict=True):
        axes.plot(range(1, len(losses) + 1), values, "o-", color=colour, markersize=3, label=label)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.legend()
    save(figure, directory / "curve.png")


def draw_guesses(mlm: MaskedLanguageModel, sequences: Sequence[Sequence[int]], path: Path) -> None:
    """For some texts with one token masked, the most probable tokens; in another colour the one that stood there."""
    decode, rng = mlm.encoder.tokenizer.decode, np.random.default_rng(0)  # type: ignore[union-attr]
    able = sorted((s for s in sequences if mlm.is_ordinary[s].any()), key=lambda ids: not 6 <= len(ids) <= 24)
    figure = Figure(figsize=(12, PICTURED), layout="constrained")
    for number, ids in enumerate(able[:PICTURED], start=1):
        place = int(rng.choice(np.flatnonzero(mlm.is_ordinary[ids])))
        p, right = mlm.guess(ids, place), ids[place]
        best = np.argsort(-p, kind="stable")[:GUESSES].tolist()
        axes = figure.add_subplot(PICTURED // 2, 2, number, xlim=(0, 1), ylim=(GUESSES - 0.5, -0.5))
        axes.barh(range(len(best)), p[best], color=[VALIDATION if id == right else TRAIN for id in best])
        axes.set_yticks(range(len(best)), [words(repr(decode([id], skip_special_tokens=False)), 20) for id in best])
        left, after = decode(ids[:place]), decode(ids[place + 1 :])
        cut = f"{'…' * (len(left) > 35)}{left[-35:]} ____ {after[:35]}{'…' * (len(after) > 35)}"
        axes.set_title(words(cut, 90), fontsize=9)
        axes.set_xlabel(words(f"there stood {decode([right])!r}, p = {p[right]:.2f}"), fontsize=8)
    save(figure, path)


def compared(encoders: dict[str, SentenceEncoder], texts: Sequence[str]) -> pd.DataFrame:
    """A row for each encoder: size, speed, and how many of the first one's ten nearest neighbours it finds.

    They take turns in embedding the first thousand texts; texts a second are by the median.
    """
    vectors, seconds = [encoder.encode(texts) for encoder in encoders.values()], np.zeros((ROUNDS, len(encoders)))
    for turn, place in np.ndindex(seconds.shape):
        start = time.perf_counter()
        [*encoders.values()][place].encode(texts[:TIMED])
        seconds[turn, place] = time.perf_counter() - start
    table = pd.DataFrame({"encoder": list(encoders)})
    table["layers"] = [encoder.config.num_layers for encoder in encoders.values()]
    table["weights"] = [encoder.num_parameters() for encoder in encoders.values()]
    table["MB"] = (table["weights"] * 4e-6).round(1)
    table["texts a second"] = (len(texts[:TIMED]) / np.median(seconds, axis=0)).round()
    table["neighbours shared"] = [round(neighbour_overlap(vectors[0], found), 3) for found in vectors]
    return table


def add_arguments(parser: argparse.ArgumentParser, distills: bool = False) -> None:
    """The arguments of `pretrain`, or of `distill`."""
    add, rates = parser.add_argument, f"{rate_of('')}, after --from {rate_of('x')}"
    own = OF_DISTILL if distills else {"epochs": DEFAULTS["pretraining_epochs"], "lr": rates}
    if distills:
        add("model", metavar="MODEL", help="the teacher: a model directory, or a name on the hub")
        add("--layers", type=int, default=2, help="blocks of the student (default: %(default)s)")
    else:
        add("--objective", choices=tuple(OBJECTIVES), default="mlm", help="what is learned (default: %(default)s)")
        about = "go on with this model, a directory or a name; without it, a new one learns its tokens from FILE"
        add("--from", dest="base", default="", metavar="MODEL", help=about)
    add("file", metavar="FILE", help="a .txt with one text a line, or a .csv or another table")
    add("--text", metavar="COLUMN", help="text column of a table; content or text by default")
    add("--encoding", default="", help="of FILE, as in cp1252; UTF-8 if it is not said")
    add("--out", metavar="DIR", required=True, help="where to write the model")
    add("--overwrite", action="store_true", help="replace the model in DIR")
    for setting in SETTINGS:
        if (name := setting.name) in (HOW if distills else (*SIZES, *HOW)):
            about = "learning rate" if name == "lr" else setting.metadata["help"]
            help = f"{about} (default: {(DEFAULTS | own)[name]})"
            add(f"--{name.replace('_', '-')}", type=type(setting.default), default=argparse.SUPPRESS, help=help)
