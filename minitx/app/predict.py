"""`minitx predict`: texts in, answers out, a block at a time: a pipe is answered as it flows, and memory stays flat."""

import argparse
import codecs
import csv
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from io import IncrementalNewlineDecoder
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

from minitx.app.parser import Once
from minitx.data.csv_files import LONGEST_LINE
from minitx.data.labelled import are_numbers
from minitx.data.tables import suffix_of
from minitx.data.texts import stream_texts
from minitx.errors import InputError
from minitx.models.multitask import MultiTaskModel
from minitx.system import Fields, PathLike, check_encoding
from minitx.terminal import json_line, shown
from minitx.text.truncation import warn_of_cut
from minitx.training.checkpoint import load_config, load_model
from minitx.writing import check_new_file, whole_file

AT_ONCE = 1024  # texts of a file; of standard input, what has come
SUFFIXES = (".csv", ".jsonl")  # of --out
BROKEN = re.compile("[\ud800-\udfff\0]")  # what bytes that are not in the encoding become, or half of UTF-16
FORMULA = re.compile(r"[=+\-@\t\r]")  # how a spreadsheet would know one: a .csv gets an apostrophe before it
NO_ANSWER = {"label": None, "probability": None, "probabilities": None}


def predict(a: argparse.Namespace) -> None:
    """`minitx predict`: a line for each text; `InputError` at the end if some were none, after all answers."""
    out = Path(a.out) if a.out else None
    refused = {
        "TEXT and --data were given: give one of them": a.text and a.data,
        "--encoding is of a file or of standard input, and TEXT was given": a.text and a.encoding,
        "--text COLUMN goes with --data FILE": a.column and not a.data,
        "--overwrite goes with --out FILE": a.overwrite and not out,
        "--out is the file of --data": a.data and out and os.path.realpath(a.data) == os.path.realpath(out),
    }
    for message, so in refused.items():
        if so:
            raise InputError(message)
    if out and out.suffix == ".csv" and a.format == "json":
        raise InputError(f"--format json and --out {out} do not go together: JSON is written to a .jsonl")
    for text in a.text:
        if text == "-" or os.path.isfile(text):
            hint = "standard input is read if no TEXT is given" if text == "-" else f"--data {text} labels its texts"
            raise InputError(f"TEXT {text!r:.100} is no text but a file: {hint}")
    if out:
        check_new_file(out, out.suffix if out.suffix in SUFFIXES else " or ".join(SUFFIXES), a.overwrite)
    model, column = load_model(a.model), a.column or (trained_column(a.model, a.data) if a.data else None)
    given = stream_texts(a.data, column, a.encoding) if a.data else iter(a.text)
    texts = blocks(given) if a.data or a.text else lines(a.encoding)
    count = write_file(model, texts, out, a.encoding) if out else write(model, texts, sys.stdout, a.format, a.encoding)
    warn_of_cut(count.cut, count.rows, model.encoder.max_seq_length)
    say_count(count, a.out)


@dataclass
class Count:
    """Of texts that were answered: how many there were, were blank, were cut, or not in their encoding."""

    rows: int = 0
    blank: int = 0
    cut: int = 0
    broken: int = 0
    where: str = ""  # the first that was not, as the start of a message


def say_count(count: Count, out: str | None, what: str = "answers") -> None:
    """What is to be known when all texts are answered; `InputError` if some were none."""
    if count.blank:
        mean = "and have no answer" if what == "answers" else "and their vectors mean nothing"
        print(f"note: {count.blank:,} of {count.rows:,} texts are blank {mean}", file=sys.stderr)
    if out:
        print(f"{count.rows:,} {what} written to {shown(out)}")
    if count.broken:
        how = f"{count.broken:,} of {count.rows:,} are not, all others are answered; say its --encoding"
        raise InputError(f"{count.where:.100}; {how}")


def trained_column(model: str, source: PathLike) -> str | None:
    """The column of texts that a result directory was trained on, but none of a .txt."""
    trained = Fields(load_config(model), f"{model}: minitx.json").within("data", {}).get("text", str, None)
    return None if suffix_of(source) == ".txt" else trained


def blocks(texts: Iterator[str]) -> Iterator[list[str]]:
    """Some texts at once, all of them in their order."""
    return iter(lambda: list(islice(texts, AT_ONCE)), [])


def write_file(model: MultiTaskModel, texts: Iterable[Sequence[str]], out: Path, encoding: str) -> Count:
    """`write` to a new file, whose name says in which form."""
    with whole_file(out) as path, path.open("w", encoding="utf-8", newline="", errors="backslashreplace") as file:
        return write(model, texts, file, out.suffix, encoding)


def write(model: MultiTaskModel, texts: Iterable[Sequence[str]], file: TextIO, form: str, encoding: str) -> Count:
    """An answer to each text of each block, as "text", ".csv", or else a line of JSON."""
    count, table = Count(), csv.writer(file, lineterminator="\n")
    if form == ".csv":
        table.writerow(["text", *(name for head in model.classes for name in (head, f"{head} probability"))])
    for block in texts:
        found, too_long = answers(model, block)
        for text, of in zip(block, found, strict=True):
            count.rows, count.blank = count.rows + 1, count.blank + (not text.strip())
            if BROKEN.search(text):
                where = re.sub(r"\\udc(..)", r"\\x\1", f"{text[:100]!a}")  # the byte itself
                count.where = count.where or f"line {count.rows:,} is not {encoding or 'UTF-8'}: {where}"
                count.broken += 1
            if form == ".csv":
                cells = [one[what] for one in of.values() for what in ("label", "probability")]
                table.writerow([_safe(text), *(x if are_numbers([str(x)]) else _safe(x) for x in cells)])
            elif form == "text":
                said = [f"{head}: {_told(x)}" for head, x in of.items() if x["label"]]
                print(shown("  ".join([*(said or ["no answer"]), f"| {text}"])), file=file)
            else:
                print(json_line({"text": text, **of}), file=file)
        file.flush()
        count.cut += too_long
    return count


def answers(model: MultiTaskModel, texts: Sequence[str]) -> tuple[list[dict[str, dict[str, Any]]], int]:
    """For each text, head -> label, its probability, and those of all classes; and how many texts were cut.

    All three are None for a text that is blank, or is none: of it, no class is more probable than it was before.
    """
    usable = [row for row, text in enumerate(texts) if text.strip() and not BROKEN.search(text)]
    chosen = [texts[row] for row in usable]
    sequences, cut = model.encoder.tokenize_and_cut(chosen)
    found = model.probabilities(model.encoder.encode_ids(sequences), chosen) if chosen else {}
    said = {head: model.answers.decide(head, p) for head, p in found.items()}  # not always the most probable class
    result: list[dict[str, dict[str, Any]]] = [dict.fromkeys(model.classes, NO_ANSWER) for _ in texts]
    for number, row in enumerate(usable):
        for head, names in model.classes.items():
            p = dict(zip(names, found[head][number].tolist(), strict=True))
            label = names[said[head][number]]
            result[row][head] = {"label": label, "probability": p[label], "probabilities": p}
    return result, cut


def _told(x: dict[str, Any]) -> str:
    """A label and its probability; beside one that a threshold or a cost chose, the most probable one."""
    top = max(x["probabilities"], key=x["probabilities"].get)
    beside = f" (decided; most probable: {top} {x['probabilities'][top]:.2f})" if top != x["label"] else ""
    return f"{x['label']} {x['probability']:.2f}{beside}"


def _safe(cell: Any) -> Any:
    return f"'{cell}" if FORMULA.match(str(cell)) else cell


def lines(encoding: str) -> Iterator[list[str]]:
    """The lines of standard input, as many at once as have come; bytes that are not in the encoding become `BROKEN`."""
    check_encoding(encoding)
    if sys.stdin is None:
        raise InputError("there is no standard input: give texts, or --data FILE")
    if sys.stdin.isatty():
        print("texts, one on a line; Ctrl-D ends them", file=sys.stderr)
    plain = codecs.getincrementaldecoder(encoding or "utf-8-sig")("surrogateescape")
    stream: Any = sys.stdin.buffer
    decoder, rest, chunk = IncrementalNewlineDecoder(plain, translate=True), "", b"-"
    while chunk:
        chunk = stream.read1(1 << 16)
        *found, rest = (rest + decoder.decode(chunk, final=not chunk)).split("\n")
        if len(rest) > LONGEST_LINE:
            raise InputError(f"standard input: a line is longer than {LONGEST_LINE:,} characters: {rest!r:.60}")
        if found := found + [rest] * bool(rest and not chunk):
            yield found


def add_arguments(parser: argparse.ArgumentParser, form: dict[str, Any]) -> None:
    """The arguments of `predict`; `form` is what --format takes."""
    add = parser.add_argument
    add("model", metavar="DIR", help="a result directory")
    add("text", metavar="TEXT", nargs="*", help="texts; if there are none, lines of standard input as they come")
    whole = "label the texts of this file: a .txt with one a line, a .csv or another table"
    add("--data", metavar="FILE", action=Once, help=whole)
    add("--text", dest="column", metavar="COLUMN", help="text column of a table; by default the one it was trained on")
    add("--encoding", default="", help="of the data or standard input, as in cp1252; UTF-8 if it is not said")
    add("--format", **form)
    add("--out", metavar="FILE", help="a row for each text: an exact .jsonl, or a .csv in which none is a formula")
    add("--overwrite", action="store_true", help="replace the file of --out")
