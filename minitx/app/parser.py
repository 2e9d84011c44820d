"""Arguments of a command line whose mistakes are met with one line that says what was probably meant."""

import argparse
import os
import re
from pathlib import Path
from typing import Any, NoReturn

from minitx.app.settings import SAME_SETTING, SETTINGS
from minitx.errors import suggestion

DEVICES, ON_THE_CPU = ("--device", "--gpu", "--cuda", "--fp16"), "there is no GPU: minitx computes on the CPU"
OTHER_NAMES = {  # of flags, in other programs
    **{f"--{setting.name.replace('_', '-')}": "--set" for setting in SETTINGS},  # tables and lists, which are no flags
    **{f"--{name.replace('_', '-')}": f"--{ours.replace('_', '-')}" for name, ours in SAME_SETTING.items()},
    **dict.fromkeys(("--file", "--input", "--csv", "--dataset", "--train-file"), "--data"),
    **dict.fromkeys(("--output", "--output-dir", "--out-dir"), "--out"),
    **dict.fromkeys(("--model", "--base-model", "--model-name"), "--pretrained"),
    **dict.fromkeys(("--labels", "--target", "--label-column"), "--label"),
    **dict.fromkeys(("--column", "--text-column"), "--text"),
    "--force": "--overwrite",
    "-k": "--top-k",
    "--json": "--format",
}
FLAGS, OF_WORDS = "flags, which begin with --", {"TEXT", "OTHER", "QUERY", "FILE"}
QUOTES = "; a text of several words, or a pattern, stands in quotes"


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are one line that says what was probably meant; it completes no flag by itself."""

    intermixing = False

    def __init__(self, **how: Any) -> None:
        super().__init__(**how, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        """`error: ...` and exit code 2."""
        if choice := re.fullmatch(r"(?s)(.*invalid choice: '(.*)') \(choose from (.*)\)", message):
            message = f"{choice[1]}; {suggestion(choice[2], choice[3].replace(chr(39), '').split(', '))}"
        if message.startswith("the following arguments are required"):
            message += f"; expected {self._expected()}"
        self.exit(2, f"error: {message} (see {self.prog} --help)\n")

    def _expected(self) -> str:
        needed = [x for x in self._actions if x.required or not x.option_strings]
        words = ([*x.option_strings[:1], str(x.metavar or "|".join(x.choices or ()))] for x in needed)
        return " ".join(word for pair in words for word in pair if word)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Let options stand between positional arguments, as in `predict DIR --format json TEXT`."""
        if self._subparsers is not None or self.intermixing:
            return super().parse_known_args(args, namespace)
        self.intermixing = True  # parse_known_intermixed_args() calls back
        found, unknown = self.parse_known_intermixed_args(args, namespace)
        if unknown:
            flag, known = unknown[0].partition("=")[0].replace("_", "-"), self._option_string_actions
            file = os.path.exists(unknown[0]) or Path(flag).suffix[1:].isalpha()
            other, expected = OTHER_NAMES.get(flag, "--data" * file), self._expected() or FLAGS
            words = f"expected {expected}" + QUOTES * bool(flag[:1] != "-" and OF_WORDS & {*expected.split()})
            if "--set" in known and ("=" in unknown[0] or found.set):
                words = "--set takes KEY=VALUE, as in lr=3e-5"
            if file and getattr(found, "data", None):
                words, other = f"one file is read, and that is {found.data}", ""
            likely = suggestion(flag, [*known], " ") if flag[:1] == "-" else words
            meant = f"did you mean {other}?" if other in known else likely
            near = ON_THE_CPU if flag in DEVICES else meant.strip() or words * (expected != FLAGS)
            self.error(f"unrecognized arguments: {' '.join(unknown)}" + f"; {near}" * bool(near))
        return found, unknown


class Once(argparse.Action):
    """An argument that is refused when it is given a second time: two files are not one."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        """What argparse calls with the value."""
        if (before := getattr(namespace, self.dest, None)) is not None:
            parser.error(f"{option_string} is given twice, as {before} and as {values}: one file is read")
        setattr(namespace, self.dest, values)
