"""`mpiexec -n 4 minitx train ...`: every process runs the command; the first one writes, prints and is heard."""

import argparse
import hashlib
import os
import shutil
import time
import traceback
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from minitx.errors import InputError
from minitx.nn.module import Module
from minitx.training.epochs import Callback, Epoch
from minitx.training.ranks import Alone, Ranks, ranks_here
from minitx.writing import UNFINISHED

TOLD = (InputError, FloatingPointError, OSError, MemoryError, KeyboardInterrupt)  # by the command line, in a line
GRACE = 10.0  # seconds in which the first rank meets an error that all of them meet, and tells it


@contextmanager
def together(a: argparse.Namespace) -> Iterator[Alone]:
    """The processes of this command; in all but the first, `a` then writes to a directory that nobody will see.

    An error of any of them ends all: see `end_all`.
    """
    ranks = ranks_here()
    try:
        with ExitStack() as stack:
            if ranks.rank:
                scratch = Path(stack.enter_context(TemporaryDirectory())) / "result"
                if a.resume and (Path(a.resume) / UNFINISHED).is_dir():  # before the first rank goes on with it
                    shutil.copytree(Path(a.resume) / UNFINISHED, scratch / UNFINISHED)
                a.resume, a.out = (str(scratch), None) if a.resume else (None, str(scratch))
                a.plan = a.plan and f"{scratch}.png"
                nowhere = stack.enter_context(open(os.devnull, "w", encoding="utf-8", newline=""))
                stack.enter_context(redirect_stdout(nowhere))
            ranks.share("ready")
            yield ranks
    except BaseException as error:
        if ranks.rank:
            time.sleep(GRACE)
            error.add_note(f"so says process {ranks.rank} of {ranks.size}, counted from 0")
        if isinstance(error, BrokenPipeError):  # which the command line says nothing of
            end_all(1)
        if ranks.size > 1 and not isinstance(error, TOLD):
            traceback.print_exc()
            end_all(1)
        raise


def end_all(code: int) -> int:
    """The code that a process ends with. Unless it is 0, one of several ends the others: they may be waiting for it."""
    with suppress(InputError):  # of mpi4py that is missing, in all of them
        if code and isinstance(ranks := ranks_here(), Ranks):
            time.sleep(0.3)  # Abort may overtake what was said, on its way through mpiexec
            ranks.comm.Abort(code)
    return code


class Agreement(Callback):
    """That all processes still have the same weights."""

    def __init__(self, ranks: Alone, model: Module) -> None:
        self.ranks, self.model = ranks, model

    def on_epoch(self, epoch: Epoch) -> None:
        """`InputError` if the processes' weights differ in a bit, as machines of different kinds may let them."""
        weights = hashlib.sha256(b"".join(p.data.tobytes() for p in self.model.parameters())).digest()
        if len({*self.ranks.share(weights)}) > 1:
            found = f"after epoch {epoch.number} the processes do not have the same weights"
            raise InputError(f"{found}: expected machines that compute alike")
