"""Seven questions about a CSV of your own, answered on one page: `python tutorials/capstone.py mine.csv`.

A Google-Play export needs no more (columns content, score, thumbsUpCount). For any other CSV name the columns:

    python tutorials/capstone.py tickets.csv --text message --label topic=category --label mood=feeling

`--check mine.py:softmax` puts an op that you have written on the page, `--model DIR` starts from a pretrained encoder;
without it a small one is trained from scratch, which takes well under a minute for six hundred rows. The page is one
file, loads nothing and runs no script; what surrounds the answers is in capstone.html.
"""

import argparse
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from html import escape
from itertools import product
from pathlib import Path
from string import Template
from typing import NamedTuple

import numpy as np

from minitx.app.cli import Parser
from minitx.app.experiment import judge, train
from minitx.app.mistakes import Mistake, worst_mistakes
from minitx.app.prepare import Job, prepare, read_data
from minitx.app.settings import Experiment, experiment_of, read_recipe
from minitx.app.study import Study, StudyResult
from minitx.errors import InputError, suggestion
from minitx.evaluation.leakage import KINDS, leakage_report
from minitx.evaluation.metrics import Report
from minitx.evaluation.statistics import mean_interval
from minitx.learn.check import Verdict, judge_file
from minitx.learn.files import course_pieces
from minitx.training.baseline import BagOfWords
from minitx.training.checkpoint import BASELINE
from minitx.writing import check_new_file

SEEDS = (0, 1, 2)
CONSTANT, WORDS, PROBE, WHOLE = "always the largest class", "bag of words", "frozen probe", "whole model"
EXAMPLES, TERMS, MARKED = 3, 6, 0.3  # shown of each kind; a token is marked from this share of the strongest on
SIZES = {"vocab_size": 1000, "hidden_size": 64, "num_layers": 1, "num_heads": 4, "intermediate_size": 128}
FROM_SCRATCH = {**SIZES, "max_length": 64, "dropout": 0.2, "epochs": 20, "lr": 1e-3, "task_gradients": 0}
NO_OP = "No op was given: write one of the thirteen pieces, and add <code>--check mine.py:softmax</code>."
PAGE = Path(__file__).with_suffix(".html")


class Run(NamedTuple):
    """One trained model of the first seed."""

    job: Job
    bag_of_words: BagOfWords
    reports: dict[str, Report]


def main(argv: Sequence[str] | None = None) -> None:
    a = arguments(argv)
    out = Path(a.out)
    check_new_file(out, ".html", a.overwrite)
    if len(dict(a.label)) < len(a.label):
        raise InputError("--label names the same head twice")
    verdict = check_op(a.check) if a.check else None  # first what is quick and may be refused
    start = {**read_recipe("minilm-reviews"), "pretrained": a.model, "max_length": 64} if a.model else FROM_SCRATCH
    experiment = experiment_of(start, {"data": a.csv, "text": a.text, "labels": dict(a.label)})
    data, audit = read_data(a.csv, a.text, dict(a.label))
    trained_on = Path(a.model or "") / BASELINE
    known = int(BagOfWords.load(trained_on).knows(data.texts).sum()) if a.model and trained_on.is_file() else 0
    if known:
        raise InputError(
            f"{a.model} was trained on {known:,} of these {len(data):,} texts: figures would measure memory"
        )
    runs: dict[str, Run] = {}
    arms = {PROBE: replace(experiment, freeze=("backbone",)), WHOLE: experiment}
    study = Study({name: arm(name, settings, runs) for name, settings in arms.items()}, SEEDS).run()
    probe, whole = runs[PROBE], runs[WHOLE]

    rows = np.random.default_rng(0).permutation(len(data))
    train_rows, _, test_rows = np.split(rows, [int(0.7 * len(rows)), int(0.8 * len(rows))])
    leaks = [leakage_report(data.subset(train_rows), data.subset(test_rows)), whole.job.leakage]
    figures = {head: report.contenders() for head, report in whole.reports.items()}
    for head, report in probe.reports.items():
        figures[head] = {**figures[head], PROBE: report.contenders()["this model"], WHOLE: figures[head]["this model"]}
    encoder = "the encoder of " + Path(a.model).name if a.model else "a small encoder that is not pretrained"
    sizes = ", ".join(f"{len(part):,} {name}" for name, part in whole.job.parts._asdict().items())
    heads = "; ".join(f"{head} ({', '.join(names)})" for head, names in data.classes.items())
    read, weights = "; ".join(map(str.strip, str(audit).splitlines())), f"{whole.job.model.num_parameters():,} weights"
    page = {
        "source": shown(Path(a.csv).name),
        "about": shown(f"{read}. Leak-free split: {sizes} rows. Heads: {heads}. Model: {encoder}, {weights}."),
        "encoder": shown(encoder),
        "leaks": leakage(leaks),
        "words": table(figures, CONSTANT, WORDS) + telling_words(whole.bag_of_words),
        "probe": table(figures, CONSTANT, WORDS, PROBE),
        "whole": table(figures, CONSTANT, WORDS, PROBE, WHOLE),
        "study": "".join(chart(study, metric) for metric in study.metrics[:-1]) + differences(study),
        "mistakes": mistakes(whole),
        "op": f"<pre>{shown(verdict)}</pre>" if verdict else f"<p>{NO_OP}</p>",
    }
    out.write_text(Template(PAGE.read_text(encoding="utf-8")).substitute(page), encoding="utf-8", newline="\n")
    print(f"written to {out}")


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(prog="capstone.py", description="Seven questions about your own CSV, answered on one HTML page.")
    parser.add_argument("csv", metavar="CSV", help="a Google-Play export, or any CSV with --text and --label")
    parser.add_argument("--text", metavar="COLUMN", help="the column of texts")
    parser.add_argument("--label", metavar="NAME=COLUMN", type=named, action="append", default=[], help="repeatable")
    parser.add_argument("--check", metavar="FILE.py:FUNCTION", help="an op of yours, one of the thirteen pieces")
    parser.add_argument("--model", metavar="DIR", help="a pretrained encoder to start from, or its name")
    parser.add_argument("--out", metavar="PAGE.html", default="capstone.html", help="default: %(default)s")
    parser.add_argument("--overwrite", action="store_true", help="replace PAGE.html")
    return parser.parse_args(argv)


def named(text: str) -> tuple[str, str]:
    name, equals, column = text.partition("=")
    if not (name and equals and column):
        raise argparse.ArgumentTypeError(f"expected NAME=COLUMN, as in sentiment=stars, not {text!r}")
    return name, column


def check_op(spec: str) -> Verdict:
    """Judge FILE.py:FUNCTION."""
    path, _, name = spec.rpartition(":")
    pieces = course_pieces()
    if name not in pieces:
        known = suggestion(name, list(pieces))
        raise InputError(f"--check {spec}: expected FILE.py:FUNCTION, the function being one of the pieces; {known}")
    (verdict,) = judge_file(Path(path), {name: pieces[name]})
    if not verdict.written:
        raise InputError(f"--check {spec}: {verdict.found}")
    return verdict


def arm(name: str, settings: Experiment, runs: dict[str, Run]):
    """What a study runs with each seed; the first run is kept under the arm's name."""

    def measure(seed: int) -> dict[str, Report]:
        job = prepare(replace(settings, seed=seed), log=lambda line: None)
        bag_of_words = BagOfWords.fit(job.parts.train)
        train(job, progress=False, log=lambda line: None)
        reports, *_ = judge(job, bag_of_words, progress=False)
        runs.setdefault(name, Run(job, bag_of_words, reports))
        return reports

    return measure


# -- what stands in the sections; capstone.html says how to read each -------------------------------------------


def shown(text: object) -> str:
    """A text as HTML: escaped, without control characters."""
    return escape("".join(c if c.isprintable() or c.isspace() else "\N{REPLACEMENT CHARACTER}" for c in str(text)))


def grid(lines: Sequence[str]) -> str:
    return f'<div class="wide"><table>{"".join(lines)}</table></div>'


def short(text: str, width: int = 160) -> str:
    text = " ".join(text.split())
    return shown(text if len(text) <= width else text[: width - 1] + "…")


def leakage(reports: Sequence) -> str:
    lines = ["<tr><th>test rows with ... in the training rows</th><th>random split</th><th>leak-free split</th></tr>"]
    for kind, meaning in KINDS.items():
        found = [(report.rows(kind), len(report.test)) for report in reports]
        cells = "".join(f"<td>{rows:,} of {N:,} ({rows / N:.1%})</td>" for rows, N in found)
        lines.append(f"<tr><th>{shown(meaning)}</th>{cells}</tr>")
    quotes = [
        f'<blockquote dir="auto"><small>test</small> {short(reports[0].test.texts[test])}<br>'
        f"<small>training</small> {short(reports[0].train.texts[row])}</blockquote>"
        for test, row in [pair for kind in KINDS for pair in reports[0].pairs[kind]][:EXAMPLES]
    ]
    return grid(lines) + "".join(quotes)


def table(figures: Mapping[str, Mapping[str, Mapping[str, float]]], *names: str) -> str:
    """Accuracy and macro-F1 of each contender, for each head; the last one is new in this section."""
    heads = "".join(f'<th colspan="2">{shown(head)}</th>' for head in figures)
    lines = [f"<tr><th></th>{heads}</tr><tr><th></th>{'<th>accuracy</th><th>macro-F1</th>' * len(figures)}</tr>"]
    for name in names:
        cells = [f"<td>{of[name][metric]:.3f}</td>" for of in figures.values() for metric in ("accuracy", "macro-F1")]
        lines.append(f"<tr{' class=new' * (name == names[-1])}><th>{name}</th>{''.join(cells)}</tr>")
    return grid(lines)


def telling_words(model: BagOfWords) -> str:
    terms, lines = np.array(list(model.columns)), []
    for head, names in model.classes.items():
        for name, weights in zip(names, model.heads[head].weight.data * model.idf, strict=True):
            words = ", ".join(f"<i>{shown(term)}</i>" for term in terms[np.argsort(-weights)[:TERMS]])
            lines.append(f'<tr><th>{shown(head)}: {shown(name)}</th><td class="words">{words}</td></tr>')
    return "<p>What speaks most for each class:</p>" + grid(lines)


def differences(study: StudyResult) -> str:
    """The whole model minus the probe, and minus the bag of words, seed by seed."""
    lines = ["<tr><th>whole model minus ...</th><th>mean</th><th>95 % interval</th><th>it is</th></tr>"]
    for metric, than in product(study.metrics[:-1], (PROBE, WORDS)):  # the last one is seconds
        d = study.difference(WHOLE, metric, than)
        cells = f"<td>{d.mean:+.3f}</td><td>{d.low:+.3f} to {d.high:+.3f}</td><td>{d.verdict}</td>".replace("-", "−")
        lines.append(f"<tr><th>{than}: {shown(metric)}</th>{cells}</tr>")
    warning = f"{len(lines) - 1} comparisons: even if nothing truly differs, 1 in 20 gets a verdict."
    return f"{grid(lines)}<p><small>{warning}</small></p>"


def chart(study: StudyResult, metric: str) -> str:
    """One line for each contender, on a common scale that starts and ends at a tenth."""
    found = {name: study.values[name][metric] for name in (CONSTANT, WORDS, PROBE, WHOLE)}
    means = {name: mean_interval(values) for name, values in found.items()}
    ends = [x for m, v in zip(means.values(), found.values(), strict=True) for x in (m.low, m.high, *v)]
    low = max(0, min(math.floor(10 * min(ends)), 9)) / 10
    high = min(1, max(math.ceil(10 * max(ends)) / 10, low + 0.1))

    def x(value: float) -> float:
        return round(200 + 440 * (min(max(value, low), high) - low) / (high - low), 1)

    marks: list[str] = []
    for t in np.arange(low, high + 0.05, 0.1):
        marks.append(f'<path d="M{x(t)} 8V136" stroke="var(--line)"/>')
        marks.append(f'<text x="{x(t)}" y="154" text-anchor="middle" fill="var(--soft)">{t:.1f}</text>')
    for y, (name, mean) in zip((22, 56, 90, 124), means.items(), strict=True):
        fill, ink = "" if name in study.arms else 'fill="Canvas" ', 'stroke="CanvasText" stroke-width="2"'
        seeds = "".join(f"M{x(value)} {y + 7}v5" for value in found[name])
        marks += [
            f'<text y="{y + 5}">{name}</text><text x="700" y="{y + 5}" text-anchor="end">{mean.mean:.3f}</text>',
            f'<path d="M{x(mean.low)} {y}H{x(mean.high)}" {ink}/><path d="{seeds}" stroke="var(--soft)"/>',
            f'<circle cx="{x(mean.mean)}" cy="{y}" r="5" {fill}{ink}/>',
        ]
    picture = f'<svg viewBox="0 0 704 160" role="img" fill="CanvasText">{"".join(marks)}</svg>'
    return f"<figure><figcaption>{shown(metric)}</figcaption>{picture}</figure>"


def mistakes(run: Run) -> str:
    test, model = run.job.parts.test, run.job.model
    vectors, sections = model.encoder.encode_ids(run.job.rows["test"].sequences, show_progress_bar=False), []
    for head, given in model.probabilities(vectors).items():
        quotes = "".join(map(quote, worst_mistakes(model, test, head, given, limit=EXAMPLES)))
        sections.append(f"<h3>{shown(head)}</h3>{quotes or '<p>Not one mistake on the test rows.</p>'}")
    return "".join(sections)


def quote(mistake: Mistake) -> str:
    text, strongest = "", max((abs(piece.contribution or 0) for piece in mistake.pieces), default=0) or 1
    for piece in mistake.pieces:
        share = (piece.contribution or 0) / strongest
        side, word = "for" if share > 0 else "against", piece.text.lstrip()
        text += shown(piece.text[: len(piece.text) - len(word)])
        text += f'<span class="{side}">{shown(word)}</span>' if abs(share) >= MARKED else shown(word)
    said = f"labelled {mistake.true}, predicted {mistake.predicted} with {mistake.confidence:.0%}"
    return f'<blockquote><p dir="auto">{text}</p><small>{shown(said)}</small></blockquote>'


if __name__ == "__main__":
    try:
        main()
    except (InputError, FloatingPointError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
