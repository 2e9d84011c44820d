"""`minitx train | evaluate | predict | ...`: arguments in, one call into the package, lines out."""

import argparse
import importlib
import os
import re
import sys
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from io import TextIOWrapper
from pathlib import Path
from typing import Any

from minitx.app import parts, predict, pretrain as unlabelled
from minitx.app.checkpoints import Stop
from minitx.app.embed import beside, check_vectors, embed_file
from minitx.app.experiment import own_test_rows
from minitx.app.manifest import from_labels_alone
from minitx.app.mistakes_page import write_mistakes_page
from minitx.app.parser import Once, Parser
from minitx.app.prepare import Judging, read_to_judge
from minitx.app.search_command import search
from minitx.app.settings import RECIPES, experiment_of, read_recipe, recipe_names
from minitx.app.together import end_all
from minitx.app.train_command import add_arguments, labels_of, name_and_column, replay_result, train
from minitx.data.batches import TokenisedRows
from minitx.errors import InputError
from minitx.evaluation.evaluate import evaluate
from minitx.models.encoder import SentenceEncoder
from minitx.models.hub import find_directory
from minitx.system import Fields, __version__, read_text
from minitx.terminal import json_line, shown
from minitx.text.load import load_tokenizer
from minitx.text.truncation import TruncationWarning
from minitx.training.baseline import BagOfWords
from minitx.training.checkpoint import BASELINE, load_config, load_model
from minitx.writing import check_new_file

LARGEST_GROUPS = 5  # of mistakes, that evaluate prints for each head
LABELS_ALONE = "note: vectors learned from labels alone tell classes apart, not meanings: search with a pretrained one"
DESK = {  # commands that `learn.commands` declares
    "check": "is your own attention, BPE or AdamW right, and if not, which mistake is it?",
    "gradcheck": "check every gradient of minitx, or that of an op of yours",
    "lab": "what a real defect does to the figures: right and wrong side by side, measured",
    "learn": "the course: lessons that ask before they show, and exercises",
    "show": "write a page with a moving picture of backward, bpe, attention, a plan or a map",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command: 0 when it worked, 1 when what was checked is wrong, 2 when its input cannot be used."""
    argv = sys.argv[1:] if argv is None else list(argv)
    together = argv[:1] == ["train"]  # processes of other commands know nothing of each other
    try:
        code = _main(argv)
    except SystemExit as stop:  # of a wrong flag, maybe of one process alone
        if together and isinstance(stop.code, int):
            end_all(stop.code)
        raise
    return end_all(code) if together else code


def _main(argv: list[str]) -> int:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # what its encoding lacks is spelled out, as in \u65e5
            stream.reconfigure(errors="backslashreplace")
    if not argv:
        _parser().print_help()
        return 0
    # The learner's desk stands on this room, so it is looked up when somebody asks for it.
    desk = argv[0] in DESK
    arguments = importlib.import_module("minitx.learn.commands").parse(argv) if desk else _parser().parse_args(argv)
    stop = arguments.stop = Stop()
    try:
        with warnings.catch_warnings(), stop:
            warnings.simplefilter("always", TruncationWarning)
            warnings.showwarning = _show_warning
            return arguments.command(arguments) or 0
    except (InputError, FloatingPointError) as error:
        print("\n".join([f"error: {error}", *getattr(error, "__notes__", [])]), file=sys.stderr)
        return 2
    except BrokenPipeError:  # whoever read our output has seen enough, as in `minitx predict ... | head`
        sys.stdout = None  # so that the interpreter does not try to flush it
        return 0
    except OSError as error:  # a full disk, no permission, a device in the place of a file
        print(f"error: {error.filename or 'file'}: {error.strerror or error}", file=sys.stderr)
        return 2
    except MemoryError as error:
        print(f"error: not enough memory: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as error:
        print("; ".join(["interrupted", *getattr(error, "__notes__", [])]), file=sys.stderr)
        return 128 + stop.number


def _show_warning(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
    """A line about the user's texts; what libraries warn of, as NumPy does before a loss is NaN, is not for users."""
    if issubclass(category, TruncationWarning):
        print(f"warning: {message}", file=sys.stderr)


def _recipes(a: argparse.Namespace) -> None:
    if a.name:
        read_recipe(a.name)  # or what is wrong with the name
        print(read_text(RECIPES / f"{a.name}.toml" if a.name in recipe_names() else a.name), end="")
        return
    width = max(map(len, recipe_names()))
    print(f"{'default':{width}}  what `minitx train` does without a recipe")
    for name in recipe_names():
        recipe = read_recipe(name)
        print(f"{name:{width}}  {recipe['about']}\n{'':{width}}  from: {recipe['source']}")
    print(f"\nminitx train --recipe NAME; each is a short file in {RECIPES}, to be copied and changed")


def _rows_of_file(a: argparse.Namespace, config: dict[str, Any], classes: dict[str, tuple[str, ...]]) -> Judging:
    """The rows of --data, labelled as minitx.json says, or as --text and --label do."""
    labelling = Fields(config, f"{a.model}: minitx.json").within("data", {})
    tables = {key: labelling.within(key, {}).data for key in ("labels", "rules", "words")}
    text = a.text or labelling.get("text", str, None)
    if a.label:
        own = {head: head for head in classes} | tables["labels"]  # heads that it does not name
        tables, text = {"labels": own | labels_of(a.label)}, text or "content"
    try:
        e = experiment_of({"data": a.data, "text": text, "encoding": a.encoding}, tables)
    except InputError as error:
        raise InputError(f"{labelling.where} and {a.data}: {error}") from None
    return read_to_judge(e, classes)


def _evaluate(a: argparse.Namespace) -> None:
    page = Path(a.errors) if a.errors else None
    if page:
        check_new_file(page, ".html", a.overwrite)
    elif a.overwrite:
        raise InputError("--overwrite goes with --errors, the only file that evaluate writes")
    config, model, stored = load_config(a.model), load_model(a.model), Path(a.model) / BASELINE
    bag_of_words = BagOfWords.load(stored) if stored.is_file() else None
    if a.data is None and (a.text or a.label or a.encoding):
        raise InputError(
            "--text, --label and --encoding go with --data FILE; without it, its own test rows are measured"
        )
    data, audit, missing = own_test_rows(Path(a.model)) if a.data is None else _rows_of_file(a, config, model.classes)
    source = f"the test rows of {a.model}" if a.data is None else Path(a.data).name
    if data.classes != model.classes:
        raise InputError(f"{source} has the classes {data.classes!r:.300}, the model has {model.classes!r:.300}")
    if bag_of_words and bag_of_words.classes != model.classes:
        raise InputError(f"{stored} is of another model: its classes are not those of minitx.json")
    say = partial(print, file=sys.stderr if a.format == "json" else sys.stdout)
    say(audit)
    for head, column in missing.items():
        say(shown(f"note: {a.data} has no column {column}, so {head} is not measured"))
    vectors, labels = model.encoder.encode_ids(model.encoder.tokenize(data.texts)), TokenisedRows((), data.labels)
    probabilities = model.probabilities(vectors, data.texts)
    reports = evaluate(model, labels, vectors, data.texts)
    known = 0
    if bag_of_words:
        reports, known = bag_of_words.beside(reports, data), int(bag_of_words.knows(data.texts).sum())
    else:
        say(f"{shown(str(stored))} is missing, so there is no bag of words to compare with; training anew writes it")
    if known:
        are = "texts is" if known == 1 else "texts are"
        say(f"{known:,} of {len(data):,} {are} in the training rows: there the figures measure memory")
    if page:
        themes = write_mistakes_page(page, source, model, data, probabilities, reports, bag_of_words, known)
    if a.format == "json":
        print(json_line({head: report.to_dict() for head, report in reports.items()}))
        return
    for head, report in reports.items():
        print(f"\n{head}\n{report}")
    if page:
        for head, groups in ((head, groups) for head, groups in themes.items() if groups):
            print(f"\n{head}: the largest groups of mistakes that are alike, and words they share")
            print(*(shown(f"{theme}") for theme in groups[:LARGEST_GROUPS]), sep="\n")
        print(f"\nall groups, the most confident mistakes and what misled the model: {shown(str(page))}")


def _say_what_vectors_mean(model: str) -> None:
    """Last of all, so that what goes wrong stays one line; not on standard output, which a program may read."""
    if from_labels_alone(find_directory(model)):
        print(LABELS_ALONE, file=sys.stderr)


def _on_dask(command: Callable[[argparse.Namespace], None]) -> Callable[[argparse.Namespace], None]:
    """The command, or what it does to many files at once if that is asked for."""

    def either(a: argparse.Namespace) -> None:
        parts.check_engine(a)
        (parts.on_dask if a.engine else command)(a)
        if a.engine and command is _embed:
            _say_what_vectors_mean(a.model)

    return either


def _embed(a: argparse.Namespace) -> None:
    out = Path(a.out)
    check_vectors(out, a.overwrite)  # before the model is loaded
    encoder = SentenceEncoder.from_pretrained(a.model)
    try:
        how = {"text_column": a.text, "encoding": a.encoding, "overwrite": a.overwrite}
        rows, before, cut, blank = embed_file(encoder, a.file, out, progress=sys.stderr.isatty(), **how)
    except KeyboardInterrupt as error:
        goes_on = f"the same command goes on from {beside(out)[0]}"
        error.add_note(goes_on if beside(out)[0].exists() else f"{out} is as it was, or finished")
        raise
    if before:
        print(f"resumed after {before:,} vectors that were there already")
    if cut:
        print(f"warning: {cut:,} texts longer than {encoder.max_seq_length} tokens were cut", file=sys.stderr)
    if blank:
        print(f"note: {blank:,} of {rows:,} texts are blank, and their vectors mean nothing", file=sys.stderr)
    print(f"{rows:,} vectors of {encoder.get_embedding_dimension()} numbers written to {out}")
    _say_what_vectors_mean(a.model)


def _search(a: argparse.Namespace) -> None:
    _refuse_blank("QUERY", [a.query])
    search(a)
    _say_what_vectors_mean(a.model)


def _refuse_blank(what: str, texts: Sequence[str]) -> None:
    for text in texts:
        if not text.strip():
            raise InputError(f"{what} is blank: there is nothing that it could be similar to")
        if os.path.isfile(text):
            raise InputError(f"{what} is the file {text!r:.60}: `minitx search MODEL FILE QUERY` reads files")


def _similar(a: argparse.Namespace) -> None:
    _refuse_blank("a TEXT", [a.text, *a.others])
    encoder = SentenceEncoder.from_pretrained(a.model)
    for text, score in zip(a.others, encoder.similarity(*map(encoder.encode, (a.text, a.others)))[0], strict=True):
        print(f"{score:.3f}  {shown(text)}")
    _say_what_vectors_mean(a.model)


def _tokenize(a: argparse.Namespace) -> None:
    if os.path.isfile(a.text):
        raise InputError(f"TEXT is the file {a.text!r:.60}: expected a text, which is shown token by token")
    tokenizer = load_tokenizer(Path(a.tokenizer) if os.path.isfile(a.tokenizer) else find_directory(a.tokenizer))
    print("\n".join(map(shown, tokenizer.explain(a.text))))


def _completion(a: argparse.Namespace) -> None:
    try:
        print(importlib.import_module("shtab").complete(_parser(), a.shell))
    except ImportError:
        raise InputError("`pip install shtab` lets minitx write a shell's completions") from None


def _at_least_1(text: str) -> int:
    if not re.fullmatch("[1-9][0-9]*", text):
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, not {text!r}")
    return int(text)


def _parser() -> Parser:
    next_step = "`minitx train` needs no data, `minitx learn` is the course, `minitx COMMAND --help` says more."
    parser = Parser(prog="minitx", description="Multi-task sentence transformers in NumPy.", epilog=next_step)
    parser.add_argument("-V", "--version", action="version", version=f"minitx {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=Parser)

    def add(name: str, command: Callable[[argparse.Namespace], int | None], help: str) -> Parser:
        # The formatter leaves the lines of an epilog as they are.
        added = commands.add_parser(name, help=help, formatter_class=argparse.RawDescriptionHelpFormatter)
        added.set_defaults(command=command)
        return added

    add_arguments(add("train", train, "train a model on reviews and write a result directory"))
    unlabelled.add_arguments(add("pretrain", unlabelled.pretrain, "let an encoder learn from texts without labels"))
    unlabelled.add_arguments(add("distill", unlabelled.distill, "let a small encoder imitate a large one"), True)
    recipes = add("recipes", _recipes, "list the recipes for `minitx train --recipe`").add_argument
    recipes("name", nargs="?", metavar="NAME", help="show this one instead: a file to copy and change")
    text_or_json: dict[str, Any] = {"choices": ("text", "json"), "default": "text", "help": "json: one object a line"}

    encoding = dict[str, Any](default="", help="of the file, as in cp1252; UTF-8 if it is not said")
    judge = add(
        "evaluate", _evaluate, "measure a trained model on its own test rows, or on a labelled CSV"
    ).add_argument
    judge("model", metavar="DIR", help="a result directory")
    whole = "columns as in the training data; without FILE, the run's own test rows are measured"
    judge("--data", metavar="FILE", action=Once, help=whole)
    judge("--text", metavar="COLUMN", help="text column, if it is not called as in the training data")
    judge("--label", metavar="NAME=COLUMN", type=name_and_column, action="append", help="likewise; repeatable")
    judge("--encoding", **encoding)
    judge("--format", **text_or_json)
    judge("--errors", metavar="PAGE.html", help="write the worst mistakes and what misled the model")
    judge("--overwrite", action="store_true", help="replace PAGE.html")

    replay = add("replay", replay_result, "do a finished run again and compare every figure and file").add_argument
    replay("model", metavar="DIR", help="a result directory")

    answer = add("predict", _on_dask(predict.predict), "label texts")
    predict.add_arguments(answer, text_or_json)
    parts.add_arguments(answer)

    model = dict[str, Any](metavar="MODEL", help="a model directory, a result directory, or a name on the hub")
    texts, column = "a .txt with one text a line, a .csv or another table", "text column; content or text by default"
    vectors = add("embed", _on_dask(_embed), "write one vector per text, of any number of texts; resumable")
    parts.add_arguments(vectors)
    embed = vectors.add_argument
    embed("model", **model)
    embed("file", metavar="FILE", help=texts)
    embed("--text", metavar="COLUMN", help=column)
    embed("--encoding", **encoding)
    embed("--out", metavar="X.npy", required=True, help="(N, D) float32, one for each text; with --engine, a directory")
    embed("--overwrite", action="store_true", help="replace X.npy")

    search = add("search", _search, "find the texts that mean what a query means").add_argument
    search("model", **model)
    search("corpus", metavar="CORPUS", help=texts)
    search("query", metavar="QUERY")
    search("--text", metavar="COLUMN", help=column)
    search("--encoding", **encoding)
    search("--vectors", metavar="X.npy", help="vectors of the corpus, or a directory of its parts', by embed")
    search("--top-k", type=_at_least_1, default=10, metavar="K", help="how many (default: %(default)s)")
    search("--format", **text_or_json)

    similar = add("similar", _similar, "how similar are two texts, or one and several others?").add_argument
    similar("model", **model)
    similar("text", metavar="TEXT")
    similar("others", metavar="OTHER", nargs="+", help="each is compared with TEXT")

    tokenize = add("tokenize", _tokenize, "show how a text becomes tokens, merge by merge").add_argument
    tokenize("tokenizer", metavar="MODEL", help=f"{model['help']}, or a tokenizer.json")
    tokenize("text", metavar="TEXT")
    shells = add("completion", _completion, "print a script that completes commands and flags in a shell").add_argument
    shells("shell", choices=("bash", "zsh", "tcsh"), help='as in eval "$(minitx completion bash)"')
    for name, about in DESK.items():
        commands.add_parser(name, help=about)
    return parser
