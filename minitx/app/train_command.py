"""`minitx train`, with all of its settings, `--resume`, and `minitx replay`: arguments in, one call, lines out."""

import argparse
import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import chdir, contextmanager, suppress
from itertools import chain, count
from pathlib import Path
from typing import Any

from minitx.app.checkpoints import MINUTES
from minitx.app.experiment import ANEW, replay, resume, run
from minitx.app.manifest import MANIFEST, Manifest
from minitx.app.parser import Once
from minitx.app.prepare import prepare
from minitx.app.settings import DEFAULTS, SETTINGS, apply_assignment, experiment_of, read_recipe
from minitx.app.timeline import timeline
from minitx.app.together import together
from minitx.errors import InputError
from minitx.terminal import shown
from minitx.writing import RUN, UNFINISHED, check_new_file, whole_file

NO_PRETRAINING = {name: DEFAULTS[name] for name in ("pretraining", "pretraining_epochs")}  # no plan depends on it


def train(a: argparse.Namespace) -> None:
    """`minitx train`, in one process or several."""
    with together(a) as a.ranks:
        _train(a)


def _train(a: argparse.Namespace) -> None:
    labels = labels_of(a.label)
    recipe = read_recipe(a.recipe) if a.recipe else {}
    for assignment in a.set:
        apply_assignment(recipe, assignment)
    flags = {setting.name: getattr(a, setting.name) for setting in SETTINGS if hasattr(a, setting.name)}
    if a.resume is not None:
        _resume(a, flags)
        return
    experiment = experiment_of(recipe, flags, {"labels": labels} if labels else {})
    if experiment.pretrained and recipe.get("encoder", experiment.pretrained) != experiment.pretrained:
        print(f"encoder: {shown(experiment.pretrained)} (the write-up: {shown(str(recipe['encoder']))})")
    if a.plan:
        check_new_file(Path(a.plan), ".png", a.overwrite)
        with whole_file(Path(a.plan)) as picture:
            timeline(prepare(experiment_of(vars(experiment), NO_PRETRAINING)).plan, picture)
        print(f"the plan is drawn in {a.plan}; nothing was trained")
        return
    name = Path(experiment.data or "synthetic").stem.replace(" ", "-")
    if a.out == "":
        raise InputError("--out is empty: expected a directory's name")
    out = Path(a.out) if a.out else _unused(Path("runs") / (Path(a.recipe).stem if a.recipe else name))
    if (out / UNFINISHED / RUN).exists() and a.overwrite:
        print(f"the unfinished run in {out} is given up")
    try:
        run(experiment, out, overwrite=a.overwrite, **_how(a))
    finally:
        with suppress(OSError):  # there is something in it
            if not a.out:
                out.rmdir()  # the name is free again
    _say_what_next(out)


def _resume(a: argparse.Namespace, given: dict[str, Any]) -> None:
    out = Path(a.resume).resolve()
    if not a.resume:
        raise InputError("--resume is empty: expected a directory's name")
    changed = {name: given.pop(name) for name in ("threads", "on_nan") if name in given}
    if given or a.recipe or a.set or a.label or a.out or a.overwrite or a.plan:
        beside = "--threads, --on-nan, --checkpoint-every"
        raise InputError(f"--resume goes on as the run began; accepted beside it: {beside}; {ANEW}")
    with _where_it_began(out / UNFINISHED / RUN):
        resume(out, **changed, **_how(a))
    _say_what_next(Path(a.resume))


def _say_what_next(out: Path) -> None:
    print(f'\nwritten to {out}; try:  minitx predict {shlex.quote(str(out))} "crashes all the time since the update"')


def _how(a: argparse.Namespace) -> dict[str, Any]:
    """What a training is watched and stopped by, and does not change its result."""
    shown = not a.ranks.rank and (sys.stderr.isatty() or a.progress)
    return {"progress": shown, "checkpoint_every": a.checkpoint_every, "stop": a.stop, "ranks": a.ranks}


@contextmanager
def _where_it_began(manifest: Path) -> Iterator[None]:
    """In the directory of an earlier run, if that is still there: the paths that it was given may start from it."""
    directory = Manifest.read(manifest).directory if manifest.is_file() else "."
    with chdir(directory if os.path.isdir(directory) else "."):
        yield


def replay_result(a: argparse.Namespace) -> int:
    """`minitx replay`: 1 if anything differs."""
    directory = Path(a.model).absolute()
    with _where_it_began(directory / MANIFEST):
        compared, differ = replay(directory, progress=sys.stderr.isatty())
    for line in differ[:20]:
        print(shown(line))
    print(f"{len(differ):,} of {compared:,} figures and files differ" if differ else f"all {compared:,} are the same")
    return 1 if differ else 0


def _unused(path: Path) -> Path:
    """`path`, or the first of path-2, path-3, ... that nobody has; it is made at once, so that nobody else takes it."""
    numbered = (path.with_name(f"{path.name}-{number}") for number in count(2))
    path.parent.mkdir(parents=True, exist_ok=True)
    for candidate in chain([path], numbered):
        with suppress(FileExistsError):
            candidate.mkdir()
            (candidate / UNFINISHED).mkdir()
            return candidate
    raise AssertionError("there is no end to numbers")


def labels_of(pairs: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Head -> column, of what --label was given; `InputError` for a head that it names twice."""
    if len(labels := dict(pairs)) < len(pairs):
        raise InputError("--label names the same head twice")
    return labels


def name_and_column(text: str) -> tuple[str, str]:
    """What --label takes: a head and its column."""
    name, equals, column = text.partition("=")
    if not (name and equals and column):
        raise argparse.ArgumentTypeError(f"expected NAME=COLUMN, as in sentiment=stars, not {text!r}")
    return name, column


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `train`: a flag for each setting that is one value, a line of help for each table or list."""
    add, repeated = parser.add_argument, dict[str, Any](action="append", default=[])
    add("--recipe", metavar="NAME|FILE", help="settings to start from; `minitx recipes` lists them")
    add("--set", metavar="KEY=VALUE", help="change a setting, as in --set rates.heads=1e-3; repeatable", **repeated)
    add("--label", metavar="NAME=COLUMN", type=name_and_column, help="a head and its column; repeatable", **repeated)
    add = parser.add_argument_group("result").add_argument
    add("--out", metavar="DIR", help="where to write; by default a new directory under runs/")
    add("--overwrite", action="store_true", help="replace the result directory DIR, or PNG")
    add("--resume", metavar="DIR", help="go on with the run in DIR that was interrupted")
    about = "save where it stands every so many minutes, besides after each epoch (default: %(default)g)"
    add("--checkpoint-every", type=float, default=MINUTES, metavar="MINUTES", help=about)
    add("--progress", action="store_true", help="show the progress bar even if not on a terminal")
    add("--plan", metavar="PNG", help="draw what would train when, and how fast, and stop before it does")
    add = parser.add_argument_group("settings", "a flag overrides --set, which overrides the recipe").add_argument
    tables = ["tables and lists, which a recipe or --set gives:"]
    for setting in SETTINGS:
        flag, about, default = f"--{setting.name.replace('_', '-')}", setting.metadata["help"], setting.default
        choices = setting.metadata["choices"] or None
        if isinstance(default, bool):
            add(flag, action=argparse.BooleanOptionalAction, default=argparse.SUPPRESS, help=about)
        elif default is None or isinstance(default, str | int | float):
            kind = str if default is None else type(default)
            help = about if default in (None, "") else f"{about} (default: {default})"
            metavar = None if choices else kind.__name__.upper()
            how: dict[str, Any] = {"action": Once} if setting.name == "data" else {}
            add(flag, type=kind, default=argparse.SUPPRESS, choices=choices, metavar=metavar, help=help, **how)
        else:
            tables.append(f"  {setting.name:22}{about}")  # the width of argparse's column of flags
    parser.epilog = "\n".join(tables)
