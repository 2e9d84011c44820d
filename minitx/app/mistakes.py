"""Where does a model go wrong, and what misled it? One self-contained HTML page, `minitx evaluate --errors PAGE.html`.

The analysis is `worst_mistakes` and `length_slices`; the rest writes it down. The page loads nothing and runs no
script; texts are escaped, since a review may hold any markup. Blue and orange are told apart by every common kind of
colour vision, and whatever a colour says stands beside it in words.
"""

import math
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np

from minitx.data.split import LabelledTexts, normalise
from minitx.evaluation.attribution import token_contributions
from minitx.evaluation.metrics import Report, report_probabilities
from minitx.models.multitask import MultiTaskModel
from minitx.text.tokenizer import Tokenizer, TruncationWarning
from minitx.training.baseline import BagOfWords

SHOWN = 20  # mistakes for each head
NAMED = 4  # tokens that are named below a mistake, for and against
Z = 1.96  # 95 % of a normal distribution lies within so many standard deviations


@dataclass(frozen=True)
class Piece:
    """Some characters of a text and what their tokens contributed; None between tokens and where nothing was read."""

    text: str
    contribution: float | None


@dataclass(frozen=True)
class Mistake:
    """A row that was predicted wrong."""

    row: int
    copies: int  # other rows with the same text and the same mistake
    true: str
    predicted: str
    confidence: float  # probability of the predicted class
    true_probability: float
    pieces: list[Piece]  # together, the text
    special: float  # what the special tokens contributed, which stand for no character


@dataclass(frozen=True)
class Slice:
    """The rows whose texts have `first` to `last` words."""

    first: int
    last: int
    report: Report


def worst_mistakes(
    model: MultiTaskModel, data: LabelledTexts, head: str, probabilities: np.ndarray, limit: int = SHOWN
) -> list[Mistake]:
    """The wrong predictions with the highest probability (N, C), most confident first; equal ones in row order.

    Rows with the same text, as `normalise` sees it, and the same classes are shown once and counted.
    """
    target, predicted = data.labels[head], probabilities.argmax(axis=1)
    wrong = np.flatnonzero((target >= 0) & (predicted != target))
    wrong = wrong[np.argsort(-probabilities[wrong, predicted[wrong]], kind="stable")]
    kinds = [(normalise(data.texts[row]), target[row], predicted[row]) for row in wrong]
    copies, first = Counter(kinds), dict(zip(reversed(kinds), reversed(wrong.tolist()), strict=True))
    shown = list(dict.fromkeys(kinds))[:limit]
    wrong = np.array([first[kind] for kind in shown], dtype=np.int64)
    texts = [data.texts[row] for row in wrong]
    with warnings.catch_warnings():  # who computed the probabilities has said how many were cut
        warnings.simplefilter("ignore", TruncationWarning)
        sequences = model.encoder.tokenize(texts)
    contributions = token_contributions(model, sequences, head, predicted[wrong])
    assert model.encoder.tokenizer is not None
    classes, mistakes = model.classes[head], []
    for kind, row, text, values in zip(shown, wrong.tolist(), texts, contributions, strict=True):
        pieces = _pieces(text, model.encoder.tokenizer, values)
        special = values.sum() - sum(piece.contribution or 0.0 for piece in pieces)
        true, chosen = target[row], predicted[row]
        given = probabilities[row]
        mistakes.append(
            Mistake(
                row=row,
                copies=copies[kind] - 1,
                true=classes[true],
                predicted=classes[chosen],
                confidence=float(given[chosen]),
                true_probability=float(given[true]),
                pieces=pieces,
                special=float(special),
            )
        )
    return mistakes


def _pieces(text: str, tokenizer: Tokenizer, contributions: np.ndarray) -> list[Piece]:
    """The text cut where its tokens begin and end; tokens that share a character, such as an emoji's, are one piece."""
    offsets = tokenizer.encode_with_offsets(text).offsets
    after = next((i for i, span in enumerate(reversed(offsets)) if span != (0, 0)), 0)  # special tokens at the end
    length = len(contributions)  # less than there are offsets if the text was too long: it was cut before those
    offsets = [*offsets[: length - after], *offsets[len(offsets) - after :]]
    pieces: list[Piece] = []
    done = 0
    for (start, end), value in zip(offsets, contributions.tolist(), strict=True):
        if end == 0:  # a special token
            continue
        if start < done:
            last = pieces.pop()
            pieces.append(Piece(last.text + text[done:end], (last.contribution or 0.0) + value))
        else:
            if start > done:
                pieces.append(Piece(text[done:start], None))
            pieces.append(Piece(text[start:end], value))
        done = max(done, end)
    return [*pieces, Piece(text[done:], None)] if done < len(text) else pieces


def length_slices(
    data: LabelledTexts, head: str, probabilities: np.ndarray, bag_of_words: np.ndarray | None = None
) -> list[Slice]:
    """Reports of the shortest quarter of texts, by words, the next, and so on; with that of a bag of words if given.

    Texts of one length stay together, so there may be fewer than four slices, and of unequal sizes.
    """
    words = np.array([len(text.split()) for text in data.texts])
    edges = np.unique(np.quantile(words, (0.25, 0.5, 0.75, 1), method="lower"))
    slices = []
    for number, rows in enumerate(np.searchsorted(edges, words) == i for i in range(len(edges))):
        target, classes = data.labels[head][rows], data.classes[head]
        beside = None if bag_of_words is None else report_probabilities(target, bag_of_words[rows], classes)
        report = report_probabilities(target, probabilities[rows], classes, beside)
        first = int(words[rows].min()) if number == 0 else int(edges[number - 1]) + 1
        slices.append(Slice(first, int(edges[number]), report))
    return slices


def accuracy_interval(report: Report) -> tuple[float, float]:
    """95 % interval of the accuracy, were rows like these drawn anew: Wilson 1927; (NaN, NaN) without rows."""
    if not report.rows:
        return math.nan, math.nan
    p, n = report.accuracy, report.rows
    centre, spread = p + Z**2 / (2 * n), Z * math.sqrt(p * (1 - p) / n + Z**2 / (4 * n**2))
    return (centre - spread) / (1 + Z**2 / n), (centre + spread) / (1 + Z**2 / n)


def write_mistakes_page(
    path: Path,
    source: str,
    model: MultiTaskModel,
    data: LabelledTexts,
    probabilities: Mapping[str, np.ndarray],
    reports: Mapping[str, Report],
    bag_of_words: BagOfWords | None = None,
    known: int = 0,
) -> None:
    """Write the page for `data`, of which the model gives `probabilities`, head -> (N, C), and the `reports`.

    `known` rows have a text that stands in the training rows, says `BagOfWords.knows`.
    """
    beside = bag_of_words.predict_proba(data.texts) if bag_of_words else None
    sections = []
    for head, report in reports.items():
        slices = length_slices(data, head, probabilities[head], beside[head] if beside else None)
        mistakes = worst_mistakes(model, data, head, probabilities[head])
        sections.append(_section(head, report, slices, mistakes))
    memory = (
        f", of which {known:,} have a text that stands in the training rows: there the figures measure memory"
        * bool(known)
    )
    page = PAGE.format(source=_safe(source), rows=f"{len(data):,}", memory=memory, sections="\n".join(sections))
    path.write_text(page, encoding="utf-8", newline="\n")


def _section(head: str, report: Report, slices: Sequence[Slice], mistakes: Sequence[Mistake]) -> str:
    contenders = [[name, *map(_number, figures.values())] for name, figures in report.contenders().items()]
    columns = zip(report.precision, report.recall, report.f1, strict=True)
    per_class = [
        [name, *map(_number, figures), f"{rows:,}", report.undefined.get(name, "")]
        for name, figures, rows in zip(report.classes, columns, report.support, strict=True)
    ]
    confusion = [[name, *map(str, row)] for name, row in zip(report.classes, report.confusion, strict=True)]
    by_length = []
    for part in slices:
        low, high = map(_number, accuracy_interval(part.report))
        beside = part.report.bag_of_words
        figures = (part.report.accuracy, beside.accuracy if beside else math.nan, part.report.majority)
        accuracy, *others = map(_number, figures)
        words = f"{part.first:,}" if part.first == part.last else f"{part.first:,} to {part.last:,}"
        row = [words, f"{part.report.rows:,}", accuracy, f"{low} to {high}", *others, _number(part.report.macro_f1)]
        by_length.append(row)
    wrong = report.rows - int(np.trace(report.confusion))
    length_names = ["words", "rows", "accuracy", "95 % interval", "bag of words", "largest class", "macro-F1"]
    return "\n".join(
        [
            f"<section><h2>{_safe(head)}</h2>",
            _table(["", "accuracy", "balanced accuracy", "macro-F1"], contenders),
            "<h3>By class</h3>",
            _table(["", "precision", "recall", "F1", "rows", ""], per_class),
            "<h3>Confusion: true class by row, predicted class by column</h3>",
            _table(["", *report.classes], confusion),
            "<h3>By length of the text</h3>",
            _table(length_names, by_length),
            f"<h3>The most confident of {wrong:,} mistakes: {len(mistakes)} texts</h3>",
            *map(_mistake, mistakes),
            "</section>",
        ]
    )


def _mistake(mistake: Mistake) -> str:
    strongest = max((abs(piece.contribution or 0.0) for piece in mistake.pieces), default=0.0) or 1.0
    marked = []
    for piece in mistake.pieces:
        if piece.contribution is None:
            marked.append(_safe(piece.text))
        else:
            side, alpha = "for" if piece.contribution > 0 else "against", abs(piece.contribution) / strongest
            style = f"background:rgb(var(--{side}) / {0.6 * alpha:.2f})"
            marked.append(
                f'<span class="{side}" style="{style}" title="{piece.contribution:+.3f}">{_safe(piece.text)}</span>'
            )
    others = f" and {mistake.copies:,} more with this text" * bool(mistake.copies)
    return (
        f"<article><p><b>row {mistake.row + 1:,}</b>{others}: is <b>{_safe(mistake.true)}</b> "
        f"(given {mistake.true_probability:.2f}), predicted <b>{_safe(mistake.predicted)}</b> "
        f'({mistake.confidence:.2f})</p>\n<p class="text" dir="auto">{"".join(marked)}</p>\n'
        f'<p class="note">{_strongest(mistake)}</p></article>'
    )


def _strongest(mistake: Mistake) -> str:
    """The strongest tokens on each side, in words; ␣ where a token is nothing but white space."""
    known = sorted(
        ((p.contribution, p.text.strip() or "␣" * len(p.text)) for p in mistake.pieces if p.contribution), reverse=True
    )
    sides = {
        f"for {_safe(mistake.predicted)}": [entry for entry in known if entry[0] > 0][:NAMED],
        "against it": [entry for entry in reversed(known) if entry[0] < 0][:NAMED],
    }
    listed = (
        f"{side}: " + (", ".join(f"<code>{_safe(text)}</code> {value:+.2f}" for value, text in entries) or "nothing")
        for side, entries in sides.items()
    )
    return "; ".join([*listed, f"special tokens {mistake.special:+.2f}"])


def _table(columns: Iterable[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th scope=col>{_safe(column)}</th>" for column in columns)
    body = "\n".join(
        f"<tr><th scope=row>{_safe(first)}</th>{''.join(f'<td>{_safe(cell)}</td>' for cell in cells)}</tr>"
        for first, *cells in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table>"


def _number(value: float) -> str:
    return "n/a" if math.isnan(value) else f"{value:.3f}"


def _safe(text: str) -> str:
    """Text as HTML shows it, without the control characters that HTML forbids."""
    return escape("".join(c if c.isprintable() or c.isspace() else "\N{REPLACEMENT CHARACTER}" for c in text))


PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Mistakes on {source}</title>
<style>
:root {{ color-scheme: light dark; --for: 0 114 178; --against: 230 159 0; }}
@media (prefers-color-scheme: dark) {{ :root {{ --for: 60 150 220; --against: 200 120 0; }} }}
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }}
table {{ border-collapse: collapse; margin: 0.5rem 0 1rem; }}
th, td {{ border-bottom: 1px solid GrayText; padding: 0.15rem 0.8rem; text-align: right; }}
th:first-child, td:last-child {{ text-align: left; }}
article {{ border-left: 3px solid GrayText; padding: 0 1rem; margin: 1.2rem 0; }}
article p {{ margin: 0.2rem 0; }}
.text {{ white-space: pre-wrap; overflow-wrap: anywhere; }}
.for {{ border-bottom: 2px solid rgb(var(--for)); }}
.against {{ border-bottom: 2px dotted rgb(var(--against)); }}
.note {{ font-size: 0.85rem; opacity: 0.85; }}
</style>
</head>
<body>
<h1>Mistakes on {source}</h1>
<p>{rows} rows{memory}. An accuracy says little alone: it stands beside those of a bag of words (TF-IDF with logistic
regression, trained on the model's own training rows) and of always predicting the largest class.</p>
<p><b>How to read the colours.</b> Each token of a text has the number e · d logit / d e, its embedding times the
gradient of the predicted class's logit by that embedding: how much the logit would grow, per unit, were the token
scaled up. <span class="for">Blue with a solid line</span> spoke for the predicted class,
<span class="against">orange with a dotted line</span> against it; the deeper, the more, within one text. Numbers are
under the pointer. It is what a small change would do, not what removing the word would: the model is not linear, and
tokens act together. Text without a line is beyond what the model reads. Rows count from 1, without dropped ones.</p>
{sections}
</body>
</html>
"""
