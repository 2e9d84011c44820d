"""`minitx gradcheck | check | learn | lab | show`: the commands of the learner's desk."""

import argparse
import io
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from minitx.app.cli import DESK
from minitx.app.parser import Parser
from minitx.errors import InputError
from minitx.learn import labs, lessons, selfcheck, show
from minitx.learn.check import check_file
from minitx.learn.files import course_directory, course_pieces, load_file
from minitx.learn.piece import Piece
from minitx.writing import check_new_file, write_text

HEAD = """The pieces of a transformer, to be written. Letters: B batch, T tokens, D width, H heads, K = D / H.

A Tensor is not an array: x.sum(dim=-1, keepdim=True), x.exp(), x.transpose(1, 2), where(mask, x, Tensor(0.0)); the
array in it is x.data. Tensor.from_op(y, (x,), backward) takes a gradient of your own.
"""


def check(a: argparse.Namespace) -> int:
    """`minitx check [FILE.py[:piece]]`: 0 if everything in the file is right."""
    pieces = course_pieces()
    if a.template and (a.file or a.swap):
        raise InputError("--template writes a new file: give no other, and no --swap")
    if a.template:
        write_template(Path(a.template), pieces.values())
        print(f"{a.template} has {len(pieces)} functions to write; then: minitx check {a.template}")
        return 0
    if a.file is None:
        if a.swap:
            raise InputError("--swap goes with a file of yours, as in minitx check mine.py --swap")
        lines = [f"{piece.signature}\n    {(piece.right.__doc__ or '').splitlines()[0]}" for piece in pieces.values()]
        print("\n".join([*lines, "", "minitx check --template mine.py writes all of them as a file to fill in"]))
        return 0
    name, _, only = a.file.partition(".py:")
    path = Path(name if name.endswith(".py") or not only else f"{name}.py")
    verdicts = check_file(path, only or None)
    written = [verdict for verdict in verdicts if verdict.written]
    print("\n".join(map(str, written if written and not only else verdicts)))
    if not verdicts:
        print(f"{path} has none of the functions that are checked: {', '.join(pieces)}", file=sys.stderr)
        return 1
    open_ones = len(pieces) - len(written)
    if not only:
        more = f", {open_ones} not written yet" if open_ones else ""
        print(f"\n{sum(verdict.passed for verdict in verdicts)} of {len(pieces)} right{more}")
    if not written or not all(verdict.passed for verdict in written):
        if a.swap:
            print("nothing was swapped in, as not all of it is right; FILE.py:piece takes one alone", file=sys.stderr)
        return 1
    if a.swap:  # in a process of its own, since functions of the package are exchanged there
        command = [sys.executable, "-P", "-m", "minitx.learn.swap", str(path), *(v.piece.name for v in written)]
        return subprocess.run(command, check=False).returncode
    return 0


def write_template(path: Path, pieces: Iterable[Piece]) -> None:
    """A file with every piece to be written; `InputError` if it exists."""
    check_new_file(path, ".py", overwrite=False)
    stubs = [
        f'def {piece.signature}:\n    """{piece.right.__doc__}"""\n    raise NotImplementedError' for piece in pieces
    ]
    imports = "import math\n\nimport numpy as np\n\nfrom minitx import Tensor\nfrom minitx.autograd.tensor import where"
    write_text(path, "\n\n\n".join([f'"""{HEAD}"""\n\n{imports}', *stubs]) + "\n")


def learn(a: argparse.Namespace) -> int:
    """`minitx learn [NN]`: the list, or a lesson and its exercises."""
    folder = Path.cwd()
    progress = lessons.Progress(folder)
    if a.lesson is None and (a.check or a.hint is not None or a.solution):
        raise InputError("--check, --hint and --solution go with a lesson, as in minitx learn 07 --check")
    if a.lesson is None:
        print(f"{progress}\n\nminitx learn 01 begins; minitx learn capstone reviews.csv is the end")
        return 0
    lesson = lessons.find_lesson(a.lesson)
    path = lessons.copy_exercises(lesson, folder)
    if a.hint is not None:
        print(lessons.hint(lesson, progress, a.hint))
        return 0
    if not (a.check or a.solution):
        try:
            lessons.read_lesson(lesson, progress)
        except KeyboardInterrupt:
            print("\nleft; your predictions and exercises are kept", file=sys.stderr)
            return 130
    verdicts = lessons.check_exercises(lesson, path, progress)
    if a.solution:
        print(lessons.solutions(lesson, {verdict.piece.name: verdict for verdict in verdicts}))
        return 0
    print("\n".join(map(str, verdicts)))
    done = all(verdict.passed for verdict in verdicts)
    after = "capstone reviews.csv" if lesson.number == max(lessons.find_lessons()) else f"{int(lesson.number) + 1:02}"
    again = f"write them in {path.relative_to(folder)}, then: minitx learn {lesson.number} --check    (--hint helps)"
    print(f"\nall right; next: minitx learn {after}" if done else f"\n{again}")
    return 0 if done or not a.check else 1


def lab(a: argparse.Namespace) -> int:
    """`minitx lab [NAME]`."""
    if len(set(a.seeds)) < max(2, len(a.seeds)) or min(a.seeds) < 0:
        raise InputError(f"--seeds {' '.join(map(str, a.seeds))}: expected at least 2, each once and none below 0")
    return labs.run_lab(a.name, full=a.full, seeds=a.seeds)


def picture(a: argparse.Namespace) -> int:
    """`minitx show NAME [MODEL] [TEXT]`."""
    print(show.write_page(a.name, a.model, a.text, Path(a.out or f"{a.name}.html"), a.overwrite))
    return 0


def _shape(text: str) -> tuple[int, ...]:
    if not re.fullmatch(r"(?:[1-9][0-9]*(?:,|$))*", text):
        raise argparse.ArgumentTypeError(f"expected sizes of at least 1 with commas, as in 3,4, not {text!r}")
    return tuple(map(int, re.findall("[0-9]+", text)))


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The arguments of one command of the desk; `command` is the function to call with them."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # lessons have letters that not every terminal knows
    if list(argv[:2]) == ["learn", "capstone"]:  # a script with arguments of its own
        return argparse.Namespace(command=lambda _: load_file(course_directory() / "capstone.py").main(argv[2:]))
    return _parser().parse_args(argv)


def _parser() -> Parser:
    whole = Parser(prog="minitx", description="The commands for learners.")
    commands = whole.add_subparsers(required=True, metavar="COMMAND", parser_class=Parser)

    def add(name: str, command: Callable[[argparse.Namespace], int]) -> Callable[..., argparse.Action]:
        added = commands.add_parser(name, help=DESK[name], description=DESK[name])
        added.set_defaults(command=command)
        return added.add_argument

    argument = add("gradcheck", lambda a: selfcheck.main(a.op, a.shape, a.seed))
    argument("op", metavar="MODULE:FUNCTION", nargs="?", help="an op of your own; docs/your-own-op.md has a template")
    argument("--shape", metavar="3,4", action="append", default=[], type=_shape, help="of each input, in order")
    argument("--seed", type=int, default=0, help="of the random inputs")

    argument = add("check", check)
    argument("file", metavar="FILE.py[:piece]", nargs="?", help="your file; without one, the pieces are listed")
    argument("--template", metavar="FILE.py", help="write a file with every piece to fill in")
    argument("--swap", action="store_true", help="train the real model with your pieces in it, beside minitx's own")

    argument = add("learn", learn)
    argument("lesson", metavar="NN", nargs="?", help="a number, or capstone; without one, the lessons are listed")
    one = commands.choices["learn"].add_mutually_exclusive_group()
    one.add_argument("--check", action="store_true", help="check the exercises, without reading the lesson again")
    about = "the next hint: the idea, then the line, then the code; of the first exercise that is not done, or of NAME"
    one.add_argument("--hint", nargs="?", const="", metavar="NAME", help=about)
    one.add_argument("--solution", action="store_true", help="the solutions of what you have attempted")

    argument = add("lab", lab)
    argument("name", metavar="NAME", nargs="?", help="a lab, or all; without one, the labs are listed")
    argument("--full", action="store_true", help="measure on more rows: minutes, not seconds")
    argument("--seeds", type=int, nargs="+", default=labs.SEEDS, metavar="SEED", help="(default: 0 1 2 3 4)")

    argument = add("show", picture)
    argument("name", metavar="NAME", choices=[*show.SHOWN], help=f"one of {', '.join(show.SHOWN)}")
    argument("model", metavar="MODEL", nargs="?", help="a model directory; a recipe (plan); an expression (backward)")
    argument("text", metavar="TEXT", nargs="?", help="a text (bpe, attention), or a .txt or .csv of texts (map)")
    argument("--out", metavar="PAGE.html", help="by default NAME.html")
    argument("--overwrite", action="store_true", help="replace PAGE.html")
    return whole
