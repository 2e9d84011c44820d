"""The mistakes of a model as one self-contained HTML page: `minitx evaluate --errors PAGE.html`.

What is on it is found by `mistakes`; the markup stands in templates/. The page loads nothing and runs no script; texts
are escaped, since a review may hold any markup. Blue and orange can be told apart with every common kind of colour
vision, and whatever a colour says stands beside it in words.
"""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from string import Template

import numpy as np
import pandas as pd

from minitx.app.mistakes import SHOWN, Mistake, Piece, length_table, worst_mistakes
from minitx.app.themes import Theme, count_terms, find_themes
from minitx.data.split import LabelledTexts
from minitx.evaluation.metrics import Report
from minitx.models.multitask import MultiTaskModel
from minitx.training.baseline import BagOfWords
from minitx.writing import write_text

TEMPLATES = Path(__file__).parent / "templates"
NAMED = 4  # tokens that are named below a mistake, for and against
EXAMPLE = 300  # characters of a text that stands for others


class Html(str):
    """Markup, as opposed to a text that has to be escaped."""


def write_mistakes_page(
    path: Path,
    source: str,
    model: MultiTaskModel,
    data: LabelledTexts,
    probabilities: Mapping[str, np.ndarray],
    reports: Mapping[str, Report],
    bag_of_words: BagOfWords | None = None,
    known: int = 0,
) -> dict[str, list[Theme]]:
    """Write the page for `data`, of which the model gives `probabilities`, head -> (N, C), and the `reports`.

    `source` is what the page calls the data. `known` rows have a text that is in the training rows, as counted by
    `BagOfWords.knows`. Returns for each head the groups of its mistakes that are on the page.
    """
    beside = bag_of_words.predict_proba(data.texts) if bag_of_words else {}
    sections, themes, counts = [], {}, count_terms(data.texts)
    for head, report in reports.items():
        said = model.answers.decide(head, probabilities[head])
        by_length = length_table(data, head, probabilities[head], beside.get(head), said)
        worst = worst_mistakes(model, data, head, probabilities[head])
        themes[head] = find_themes(model, data, head, probabilities[head], counts)
        alike = [_theme(theme, data.texts) for theme in themes[head][:SHOWN]]
        sections.append(_section(head, report, by_length, alike, len(themes[head]), worst))
    memory = f", of which {known:,} have a text that is in the training rows: there the figures measure memory"
    rows, found = f"{len(data):,}", Html("\n".join(sections))
    page = _fill("mistakes", source=source, rows=rows, memory=memory if known else "", sections=found)
    write_text(path, page)
    return themes


def _section(
    head: str, report: Report, by_length: pd.DataFrame, themes: list[Html], groups: int, mistakes: Sequence[Mistake]
) -> Html:
    classes = [_printable(name) for name in report.classes]
    figures = {"precision": report.precision, "recall": report.recall, "F1": report.f1, "rows": report.support}
    return _fill(
        "mistakes_head",
        head=head,
        contenders=_table(pd.DataFrame(report.contenders()).T),
        per_class=_table(pd.DataFrame(figures, classes)),
        undefined="; ".join(f"{name}: {what}" for name, what in report.undefined.items()),
        confusion=_table(pd.DataFrame(report.confusion, classes, classes)),
        by_length=_table(by_length),
        wrong=f"{report.rows - int(np.trace(report.confusion)):,}",
        groups=f"{groups} groups" + (f", of which the largest {len(themes)} are here" if groups > len(themes) else ""),
        themes=Html("\n".join(themes)),
        shown=f"{len(mistakes)}",
        mistakes=Html("\n".join(map(_article, mistakes))),
    )


def _theme(theme: Theme, texts: Sequence[str]) -> Html:
    cut = (f"{texts[row][:EXAMPLE]}{' …' * (len(texts[row]) > EXAMPLE)}" for row in theme.examples)
    terms = (f"<code>{_escaped(term)}</code> ({have:,})" for term, have in theme.terms.items())
    return _fill(
        "mistakes_theme",
        size=f"{len(theme.rows):,} mistake{'s' * (len(theme.rows) > 1)}, {100 * theme.share:.0f} % of this head's",
        true=theme.true,
        predicted=theme.predicted,
        terms=Html(", ".join(terms) or "no word stands out"),
        examples=Html("".join(f"<li>{_escaped(text)}</li>" for text in cut)),
    )


def _article(mistake: Mistake) -> Html:
    strongest = max((abs(piece.contribution or 0.0) for piece in mistake.pieces), default=0.0) or 1.0
    return _fill(
        "mistakes_text",
        row=f"{mistake.row + 1:,}",
        copies=f" and {mistake.copies:,} more with this text" if mistake.copies else "",
        true=mistake.true,
        true_probability=f"{mistake.true_probability:.2f}",
        predicted=mistake.predicted,
        confidence=f"{mistake.confidence:.2f}",
        text=Html("".join(_marked(piece, strongest) for piece in mistake.pieces)),
        strongest_for=_strongest(mistake.pieces, 1),
        strongest_against=_strongest(mistake.pieces, -1),
        special=f"{mistake.special:+.2f}",
        words=Html(_words(mistake.words)),
    )


def _marked(piece: Piece, strongest: float) -> str:
    """The text of a piece, on a colour as deep as its contribution is beside the `strongest` of the text."""
    if piece.contribution is None:
        return _escaped(piece.text)
    side, depth = "for" if piece.contribution > 0 else "against", 0.6 * abs(piece.contribution) / strongest
    style = f"background:rgb(var(--{side}) / {depth:.2f})"
    return f'<span class="{side}" style="{style}" title="{piece.contribution:+.3f}">{_escaped(piece.text)}</span>'


def _strongest(pieces: Sequence[Piece], sign: int) -> Html:
    """The tokens with the largest contributions of one sign, in words; ␣ where a token is nothing but white space."""
    return _listed([(p.text.strip() or "␣" * len(p.text), sign * (p.contribution or 0.0)) for p in pieces], sign)


def _words(words: Mapping[str, float]) -> str:
    """What the bag of words had to say, if one counts: terms for and against."""
    if not words:
        return ""
    sides = [_listed([(term, sign * value) for term, value in words.items()], sign) for sign in (1, -1)]
    return f"<br>The words by themselves: for it {sides[0]}; against it {sides[1]}."


def _listed(named: Sequence[tuple[str, float]], sign: int) -> Html:
    """The names with the largest values, which are above 0 and shown with a sign."""
    side = sorted((pair for pair in named if pair[1] > 0), key=lambda pair: -pair[1])[:NAMED]
    return Html(", ".join(f"<code>{_escaped(name)}</code> {sign * value:+.2f}" for name, value in side) or "nothing")


def _table(frame: pd.DataFrame) -> Html:
    """A table whose row names are headings; numbers with three digits, n/a for what is undefined."""
    counts = dict.fromkeys(frame.select_dtypes("integer"), "{:,}".format)
    with pd.option_context("display.max_colwidth", None):  # which would cut long names
        return Html(frame.to_html(border=0, na_rep="n/a", float_format="{:.3f}".format, formatters=counts))


def _fill(template: str, **values: str) -> Html:
    """A template with its blanks filled in: `Html` as it stands, any other text escaped."""
    safe = {name: value if isinstance(value, Html) else _escaped(value) for name, value in values.items()}
    return Html(Template((TEMPLATES / f"{template}.html").read_text(encoding="utf-8")).substitute(safe))


def _escaped(text: str) -> str:
    return escape(_printable(text))


def _printable(text: str) -> str:
    """Without the control characters that HTML forbids."""
    return "".join(c if c.isprintable() or c.isspace() else "\N{REPLACEMENT CHARACTER}" for c in text)
