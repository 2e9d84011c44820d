"""Is it the learner's own work, and does it end?"""

import ast
import ctypes
import re
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any

SECONDS = 20.0  # that a function may take on one input; the slowest right one takes a tenth of one
ALLOWED = "what you have is NumPy, the standard library and minitx's Tensor"
MAIN = 'if __name__ == "__main__":'
# What a Tensor consists of, and what of it a file may import.
TENSOR = tuple(
    f"minitx.autograd.{name}" for name in ("tensor", "habits", "engine", "context", "rows", "anomaly", "profiler")
)
HARMLESS = r"minitx(\.(Tensor|no_grad|gradcheck|autograd\.tensor(\.(Tensor|cat|stack|where))?))?"
OTHERS = {"torch", "scipy", "sklearn", "jax", "tensorflow", "tokenizers", "transformers", "sentence_transformers"}
DYNAMIC = {"exec", "eval", "__import__", "importlib", "runpy", "builtins", "sys.modules"}


class NotOwnWork(Exception):
    """The function has something else compute the answer."""


class TooSlow(BaseException):
    """The function does not come to an end; no `except Exception` of its own may catch this."""

    def __str__(self) -> str:
        return f"not finished after {SECONDS:.0f} seconds: does a loop never end?"


class Watch:
    """While this is entered, this thread may call functions of the modules `uses` of minitx, and no others of it.

    A trace function sees every Python function that is called, however it was imported; the first one that is not
    allowed is told at the end, even if the error was caught. A timer stops what does not end, by raising `TooSlow` in
    this thread. What is borrowed on purpose, from another thread or with ctypes, is not found.
    """

    def __init__(self, uses: tuple[str, ...]) -> None:
        self.uses = (__name__, *uses)  # this module has the __exit__

    def __enter__(self) -> None:
        self.before, self.offence, raise_in = sys.gettrace(), "", ctypes.pythonapi.PyThreadState_SetAsyncExc
        thread = ctypes.c_ulong(threading.get_ident())
        self.timer = threading.Timer(SECONDS, raise_in, (thread, ctypes.py_object(TooSlow)))
        self.timer.daemon = True
        self.timer.start()
        sys.settrace(self.called)

    def __exit__(self, *_: object) -> None:
        try:
            self.timer.cancel()
        finally:
            sys.settrace(self.before)
        if self.offence:
            raise NotOwnWork(self.offence) from None

    def called(self, frame: FrameType, event: str, _: Any) -> None:
        """The trace function: of every new frame, whose function is it?"""
        name = str(frame.f_globals.get("__name__", ""))
        room, caller = name.partition(".")[0], frame.f_back and frame.f_back.f_globals.get("__name__")
        # How warnings are shown is the program's choice.
        if caller != "warnings" and (room in OTHERS or (room == "minitx" and not name.startswith(self.uses))):
            self.offence = f"it calls {frame.f_code.co_name} of {name}: write it yourself; {ALLOWED}"
            raise NotOwnWork(self.offence)


def imported_answer(path: Path) -> str:
    """What a file imports, outside of its tests and of `if __name__ == "__main__":`, that has the answers; or ""."""
    tree = ast.parse(path.read_bytes())
    beside = {inner for node in tree.body if _only_compares(node) for inner in ast.walk(node)}
    for node in ast.walk(tree):
        names: list[str] = []
        match node:
            case ast.Import():
                names = [alias.name for alias in node.names]
            case ast.ImportFrom(module=str(module), level=0):
                names = [f"{module}.{alias.name}" for alias in node.names]
            case ast.Call(func=ast.Name(id=name)) if name in DYNAMIC:
                names = [name]
            case ast.Attribute(value=ast.Name(id="sys"), attr="modules"):
                names = ["sys.modules"]
        for name in names if node not in beside else ():
            room = name.partition(".")[0]
            if not re.fullmatch(HARMLESS, name) and (room == "minitx" or room in OTHERS or {name, room} & DYNAMIC):
                return f"{path.name} has {name}: {ALLOWED}; what you only compare with goes below {MAIN}"
    return ""


def _only_compares(node: ast.stmt) -> bool:
    main = isinstance(node, ast.If) and "__main__" in ast.unparse(node.test)
    return main or getattr(node, "name", "").startswith("test")
