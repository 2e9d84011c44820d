"""Every reader of files against damaged ones: `python -m benchmarks.fuzz [--reader NAME ...] [--inputs N] [--seed S]`.

Each reader gets N inputs from each of two engines: seeded mutations of valid files, and a coverage-guided fuzzer
(`atheris` where it is installed, else a corpus of mutants that reach new lines). They are read in a child process with
limits of memory and time. A reader may succeed, or raise an `InputError` whose message is one printable line. Anything
else is a finding, which is written to `--out` with the input and the traceback; the exit code is then 1.
"""

import argparse
import hashlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from tqdm import tqdm

from benchmarks import fuzz_embed, fuzz_readers, fuzz_readers_more, fuzz_training
from benchmarks.fuzz_readers import Corpus, Reader

MODULES = (fuzz_readers, fuzz_readers_more, fuzz_embed, fuzz_training)  # each has a list READERS
ENGINES = ("mutate", "coverage")
COUNTS = ("inputs", "refused", "accepted", "findings")  # what the file `counts` holds, an int64 each
PATIENCE = 20  # seconds without progress after which a child is ended; its own alarm comes much earlier


def registry() -> dict[str, Reader]:
    """Name -> reader, of every module that has some."""
    return {reader.name: reader for module in MODULES for reader in module.READERS}


def note(folder: Path, reader: str, name: str, content: bytes, about: str, key: str) -> bool:
    """Write a finding into a folder of its own; False if one with the same `key` is known."""
    place = folder / "findings" / f"{reader}-{hashlib.sha256(key.encode()).hexdigest()[:10]}"
    if place.exists():
        return False
    place.mkdir(parents=True)
    (place / Path(name).name).write_bytes(content)
    (place / "about.txt").write_text(f"reader {reader}, file {name}\n{key}\n\n{about}", "utf-8", "backslashreplace")
    return True


def fuzz(engine: str, reader: str, inputs: int, seed: int, deadline: float, folder: Path) -> np.ndarray:
    """The counts of `fuzz_worker.COUNTS`; `folder` gets the folder `findings`, if there are any."""
    folder.mkdir(parents=True)
    counts = np.memmap(folder / "counts", np.int64, "w+", shape=(len(COUNTS),))
    with tqdm(total=inputs, unit=" inputs", desc=f"{reader} ({engine})", leave=False) as bar:
        while counts[0] < inputs and time.monotonic() < deadline:
            first = int(counts[0])
            (folder / "ready").unlink(missing_ok=True)
            arguments = [engine, reader, str(folder), str(first), str(inputs), str(seed)]
            with (folder / "output").open("w+b") as output:
                command = [sys.executable, "-m", "benchmarks.fuzz_worker", *arguments]
                child = subprocess.Popen(command, stdout=output, stderr=output)
                ended = watch(child, counts, bar, deadline)
                output.seek(0)
                said = output.read().decode("utf-8", "replace")
            if counts[0] >= inputs or ended == "deadline":
                break
            if not (folder / "ready").exists():
                raise RuntimeError(f"the child ended at its start:\n{said}")
            ended = ended or f"the process ended with code {child.returncode}"
            name, content = last_input(folder / "files", reader)
            about = f"engine {engine}, seed {seed}, input {counts[0]}\n{said[-20_000:]}"
            frames = re.findall(r'File "\S*minitx/(\S+", line \d+ in \w+)', said)  # faulthandler's, the last call first
            counts[3] += note(folder, reader, name, content, about, f"{ended} {' < '.join(frames[:3])}")
            counts[0] += 1
    return np.array(counts)


def last_input(files: Path, reader: str) -> tuple[str, bytes]:
    """What the child was reading: the file that differs from a valid one."""
    with tempfile.TemporaryDirectory() as fresh:
        for name, (valid, *_) in Corpus(registry()[reader], Path(fresh)).valid.items():
            if (files / name).exists() and (content := (files / name).read_bytes()) != valid:
                return name, content
    return "unknown", b""


def watch(child: subprocess.Popen, counts: np.ndarray, bar: tqdm, deadline: float) -> str:
    """Until the child ends, or must be ended: then why."""
    before, since = int(counts[0]), time.monotonic()
    try:
        while child.poll() is None:
            time.sleep(0.1)
            bar.n = int(counts[0])
            bar.set_postfix(findings=int(counts[3]), refresh=True)
            if counts[0] != before:
                before, since = int(counts[0]), time.monotonic()
            elif time.monotonic() - since > PATIENCE:
                child.send_signal(signal.SIGUSR1)
                time.sleep(0.5)
                return f"hang of more than {PATIENCE} seconds"
            if time.monotonic() > deadline:
                return "deadline"
        return ""
    finally:
        child.kill()
        child.wait()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--reader", action="append", choices=sorted(registry()), help="repeatable; all by default")
    parser.add_argument("--engine", action="append", choices=ENGINES, help="repeatable; both by default")
    parser.add_argument("--inputs", type=int, default=100_000, help="for each reader and engine (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="for each reader and engine")
    parser.add_argument("--out", type=Path, default=Path("runs/fuzz"), help="where findings go (default: %(default)s)")
    a = parser.parse_args()
    memory = Path("/dev/shm")
    rows, found = [], 0
    print(f"{'reader':28} {'engine':9} {'inputs':>9} {'refused':>9} {'accepted':>9} {'findings':>9} {'inputs/s':>9}")
    for name in a.reader or registry():
        for engine in a.engine or ENGINES:
            with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as temporary:
                folder, start = Path(temporary) / "work", time.monotonic()
                counts = fuzz(engine, name, a.inputs, a.seed, start + 60 * a.minutes, folder)
                rate = counts[0] / (time.monotonic() - start)
                if (folder / "findings").exists():
                    shutil.copytree(folder / "findings", a.out, dirs_exist_ok=True)
            rows.append(counts)
            found += int(counts[3])
            print(f"{name:28} {engine:9} " + " ".join(f"{n:9,}" for n in counts) + f" {rate:9,.0f}", flush=True)
    if found:
        print(f"{found} findings, each in a folder of its own in {a.out}")
    return int(found > 0)


if __name__ == "__main__":
    sys.exit(main())
