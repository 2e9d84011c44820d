"""What the command `minitx` starts: outside the package, whose own import takes most of the time until it answers."""

import importlib
import os
import signal
from typing import NoReturn


def main() -> int:
    """`minitx.app.cli.main`; for Ctrl-C at any time before it has begun, one line and exit code 130.

    While modules are imported, an exception would not do: some libraries turn it into another one, or lose it.
    """
    default = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # what nohup starts ignores Ctrl-C
    if default:
        signal.signal(signal.SIGINT, _leave)
    command = importlib.import_module("minitx.app.cli").main
    try:
        if default:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        return command()
    except KeyboardInterrupt:  # while arguments are read
        _leave()


def _leave(*_: object) -> NoReturn:
    os.write(2, b"interrupted; nothing was written\n")
    if int(os.environ.get("PMI_SIZE") or 1) > 1:  # only of a process that is killed mpiexec tells the others
        os.kill(os.getpid(), signal.SIGKILL)
    os._exit(130)
