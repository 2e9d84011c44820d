"""Runs that are killed, and resumed, and killed again: do they end with the bytes of a run that was never killed?

    python -m benchmarks.kills training|ranks|embed|parts [--kills 200] [--seed 0] [--size 1]

A third of the kills wait until only the final writing is left; the others come at an instant that is drawn from the
time of a whole run. Seven in ten are SIGKILL, the others SIGTERM and SIGINT (Ctrl-C). After a kill the run is resumed,
and perhaps killed again; of `ranks`, which are two processes of mpiexec, one of them is killed, and one or two go on;
of `parts`, which Dask's workers embed, a worker, after which the command must end as if nothing had been if work had
begun, or the command itself. When it has ended by itself, all that it was to leave is compared, and that there is
nothing else. The exit code is 1 if any differs.

To add a subject, write a function of a directory, where it prepares what it needs, and a size, which returns a
`Subject`; and put it into `SUBJECTS`.
"""

import argparse
import dataclasses
import hashlib
import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from minitx.app.embed import TEXTS_AT_ONCE
from minitx.app.manifest import HISTORY, MANIFEST
from minitx.data.samples import synthetic_reviews
from minitx.models.config import EncoderConfig
from minitx.models.encoder import SentenceEncoder
from minitx.text.bpe import BPETokenizer
from minitx.writing import RUN, UNFINISHED

ROOT = Path(__file__).parents[1]
MINITX = "import sys; from minitx.app.cli import main; sys.exit(main())"
SIGNALS = [*[signal.SIGKILL] * 14, *[signal.SIGTERM] * 3, *[signal.SIGINT] * 3]
LATE, AGAIN = 1 / 3, 0.3  # the share of kills in the final writing, and of resumed runs that are killed too
PHASES = ("before anything is written", "in the middle", "final writing", "already finished")
PATIENCE = 600  # seconds for one run


def everything(folder: Path) -> dict[str, str]:
    """The SHA-256 of each file."""
    files = sorted(path for path in folder.rglob("*") if not path.is_dir())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@dataclass(frozen=True)
class Subject:
    """A command that is started in an empty folder, and goes on in one where it was killed."""

    command: Callable[[Path], list[str]]  # of the folder as it is
    progress: Callable[[Path], float]  # 0: nothing is there; 1: only the final writing is left; 2: finished
    compared: Callable[[Path], dict[str, str]] = everything  # what must be equal, by name
    victims: Callable[[int], list[int]] = lambda pid: [pid]  # of the process that was started, those to choose from
    survives: bool = False  # and it must end with 0 all the same if another than itself is killed


@dataclass
class Outcome:
    """What became of all kills."""

    kills: Counter[tuple[str, str]] = field(default_factory=Counter)  # (phase, signal)
    runs: int = 0  # those that ended by themselves, after kills
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        names = sorted({name for _, name in self.kills})
        rows = [f"{'killed':28}" + "".join(f"{name:>9}" for name in names) + f"{'all':>9}"]
        for phase in (*PHASES, "all"):
            counts = [sum(n for (p, s), n in self.kills.items() if phase in (p, "all") and s == name) for name in names]
            rows.append(f"{phase:28}" + "".join(f"{count:9}" for count in [*counts, sum(counts)]))
        rows.append(f"{self.runs} runs that were killed, and resumed until they ended; {len(self.wrong)} wrong")
        return "\n".join(rows + self.wrong)


def phase(progress: float) -> str:
    return PHASES[3 if progress >= 2 else 2 if progress >= 1 else 1 if progress > 0 else 0]


def start(subject: Subject, folder: Path) -> subprocess.Popen[bytes]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.getenv("PYTHONPATH")])])}
    with folder.with_suffix(".log").open("ab") as log:
        return subprocess.Popen(subject.command(folder), cwd=folder, env=environment, stdout=log, stderr=log)


def kill(
    subject: Subject, folder: Path, child: subprocess.Popen[bytes], seconds: float, rng: random.Random
) -> tuple[str, str, bool]:
    """Send a signal at a random instant: its name ("" if the run had ended), in which phase, and to the run itself?"""
    delay, number = rng.random() * seconds, rng.choice(SIGNALS)
    if rng.random() < LATE:
        delay = rng.random() ** 4 * seconds / 20  # most of them just after the last block, where a lot happens
        while subject.progress(folder) < 1 and child.poll() is None:
            time.sleep(0.0002)
    try:
        child.wait(delay)
    except subprocess.TimeoutExpired:
        with suppress(ProcessLookupError):
            at, victim = phase(subject.progress(folder)), rng.choice(subject.victims(child.pid))
            os.kill(victim, number)
        child.wait(PATIENCE)
        return number.name, at, victim == child.pid
    return "", "", True


def run(subject: Subject, folder: Path, most: int, seconds: float, rng: random.Random, outcome: Outcome) -> int:
    """One run that is killed up to `most` times and resumed until it ends; how many kills there were."""
    folder.mkdir()
    kills = 0
    while True:
        finished = subject.progress(folder) >= 2
        child = start(subject, folder)
        try:
            name = ""
            if kills < most and (not kills or rng.random() < AGAIN):
                name, at, itself = kill(subject, folder, child, seconds, rng)
            if name:
                outcome.kills[at, name] += 1
                kills += 1
                if itself or not subject.survives or at == PHASES[0]:  # workers that do not even start are told
                    continue
            code = child.wait(PATIENCE)
        finally:
            child.kill()
            child.wait()
        if code != 0 and not (finished and code == 2):  # 2: what is finished is not overwritten
            outcome.wrong.append(f"{folder.name}: exit code {code}")
        return kills


def kill_all(subject: Subject, kills: int, seed: int, place: Path, progress: bool = False) -> Outcome:
    """Runs until there were so many kills; `place` is an empty directory, where what is wrong is left."""
    rng, outcome, reference, number = random.Random(seed), Outcome(), place / "reference", -1
    reference.mkdir()
    begin = time.monotonic()
    if start(subject, reference).wait(PATIENCE):
        raise RuntimeError(reference.with_suffix(".log").read_text("utf-8", "replace"))
    seconds, right = time.monotonic() - begin, subject.compared(reference)
    with tqdm(total=kills, unit=" kills", disable=not progress) as bar:
        while (before := outcome.kills.total()) < kills:  # a bar that is switched off does not count
            number += 1
            folder = place / f"run-{number}"
            killed = run(subject, folder, kills - before, seconds, rng, outcome)
            found = subject.compared(folder)
            wrong = [name for name in sorted(right | found) if right.get(name) != found.get(name)]
            outcome.wrong += [f"{folder.name}: {name} is missing, differs, or is left over" for name in wrong]
            outcome.runs += killed > 0
            bar.set_postfix(wrong=len(outcome.wrong), refresh=False)
            bar.update(killed)
            if not any(line.startswith(f"{folder.name}:") for line in outcome.wrong):
                shutil.rmtree(folder)
                folder.with_suffix(".log").unlink()
    return outcome


# -- subjects --------------------------------------------------------------------------------------------------


def embed(place: Path, size: float = 1) -> Subject:
    """`minitx embed` of some 20,000 synthetic reviews by a small model, or of a part of that in as many blocks."""
    block, texts = int(TEXTS_AT_ONCE * size), texts_for_a_model(place, int(20_000 * size))
    (place / "texts.txt").write_text("\n".join(texts) + "\n", encoding="utf-8")
    blocks = f"from minitx.app import embed; embed.TEXTS_AT_ONCE = {block}; "
    arguments = ["embed", str(place / "model"), str(place / "texts.txt"), "--out", "X.npy"]
    whole = 128 + 4 * len(texts) * 32

    def progress(folder: Path) -> float:
        out, partial = folder / "X.npy", folder / "X.npy.partial"
        if out.exists():  # what a kill has left beside it, the same command removes, and says that it exists already
            return 2
        try:
            return partial.stat().st_size / whole
        except FileNotFoundError:
            return 0

    return Subject(lambda _: [sys.executable, "-c", blocks + MINITX, *arguments], progress)


def texts_for_a_model(place: Path, lines: int) -> list[str]:
    """Synthetic reviews, and in `place` a small encoder of width 32 that has a tokenizer learned from them."""
    reviews = synthetic_reviews(n=lines, seed=0)["content"].dropna()
    texts = [f"{' '.join(review.split())} {i}" for i, review in enumerate(reviews)]
    tokenizer = BPETokenizer.train(texts[:500], vocab_size=400)
    sizes = {"hidden_size": 32, "num_layers": 1, "num_heads": 2, "intermediate_size": 64, "max_length": 64}
    encoder = SentenceEncoder(EncoderConfig(tokenizer.vocab_size, **sizes), tokenizer, rng=np.random.default_rng(0))
    encoder.save_pretrained(place / "model")
    return texts


def parts(place: Path, size: float = 1) -> Subject:
    """`minitx embed --engine dask` of eight files, of which one process is killed: a worker, or who started them."""
    texts = texts_for_a_model(place, int(40_000 * size))
    (place / "data").mkdir()
    for number in range(8):
        (place / "data" / f"part-{number}.txt").write_text("\n".join(texts[number::8]) + "\n", encoding="utf-8")
    arguments = ["embed", str(place / "model"), str(place / "data"), "--out", "vectors", "--engine", "dask"]

    def progress(folder: Path) -> float:
        return 2 * len([*(folder / "vectors").glob("*.npy")]) / 8

    def compared(folder: Path) -> dict[str, str]:
        note = folder / "vectors" / "parts.log"  # whose lines are in the order in which parts ended
        return everything(folder) | {"vectors/parts.log": "".join(sorted(note.read_text("utf-8").splitlines()))}

    return Subject(
        lambda _: [sys.executable, "-c", MINITX, *arguments], progress, compared, pythons_below, survives=True
    )


def training(place: Path, size: float = 1) -> Subject:
    """`minitx train` of some 600 synthetic reviews with a stage, dropout and a checkpoint after every step."""
    synthetic_reviews(n=max(150, int(600 * size)), seed=1).to_csv(place / "reviews.csv", index=False)
    settings = ("epochs=3", "batch-size=16", "vocab-size=300", "num-layers=1", "hidden-size=32", "intermediate-size=64")
    stages = "stages=[{train = ['heads']}, {train = 'everything', epoch = 1.3}]"
    arguments = ["train", "--data", str(place / "reviews.csv"), "--out", "run", "--checkpoint-every", "0"]
    arguments += [*(f"--{setting}" for setting in settings), "--set", stages]

    def command(folder: Path) -> list[str]:
        begun = (folder / "run" / UNFINISHED / RUN).exists()
        return [sys.executable, "-c", MINITX, *(["train", "--resume", "run"] if begun else arguments)]

    def progress(folder: Path) -> float:
        work = folder / "run" / UNFINISHED
        if (folder / "run" / "config.json").exists() and not (work / RUN).exists():
            return 2
        if (work / "writing" / "config.json").exists() or any((work / name).exists() for name in ("result", "moving")):
            return 1
        return 0.5 * work.exists()

    return Subject(command, progress, untimed)


def ranks(place: Path, size: float = 1) -> Subject:
    """`training` by two processes, one of which is killed; what is left is gone on with by two or by one."""
    alone, count = training(place, size), itertools.count()
    mpiexec = shutil.which("mpiexec", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))

    def command(folder: Path) -> list[str]:
        begun = (folder / "run" / UNFINISHED / RUN).exists()
        many = 1 + next(count) % 2 if begun else 2
        return [str(mpiexec), "-n", str(many), *alone.command(folder), *([] if begun else ["--threads", "2"])]

    return dataclasses.replace(alone, command=command, victims=pythons_below)


def pythons_below(pid: int) -> list[int]:
    """This process, if it runs Python, and those below that do; the process itself while there are none."""
    found, below = [], [pid]
    while below:
        one = below.pop()
        with suppress(OSError):
            for thread in Path(f"/proc/{one}/task").iterdir():
                below += map(int, (thread / "children").read_text("ascii").split())
            command = Path(f"/proc/{one}/cmdline").read_bytes()
            found += [one] * (b"python" in command.partition(b"\0")[0] and b"resource_tracker" not in command)
    return found or [pid]


def untimed(folder: Path) -> dict[str, str]:
    """The SHA-256 of each file, of history.csv without its times, of manifest.json without that file's sum."""
    found = everything(folder)
    if (folder / "run" / HISTORY).exists():
        history = pd.read_csv(folder / "run" / HISTORY, dtype=str).drop(columns=["seconds", "tokens_per_second"])
        found[f"run/{HISTORY}"] = history.to_csv()
    if (folder / "run" / MANIFEST).exists():
        manifest = json.loads((folder / "run" / MANIFEST).read_text("utf-8"))
        found[f"run/{MANIFEST}"] = json.dumps(manifest | {"directory": "", "files": {**manifest["files"], HISTORY: ""}})
    return found


SUBJECTS = {"training": training, "ranks": ranks, "embed": embed, "parts": parts}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("subject", choices=SUBJECTS)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--size", type=float, default=1, help="of the work, a part or a multiple (default: %(default)s)"
    )
    parser.add_argument("--keep", type=Path, help="a new directory for the runs; what is wrong stays there")
    a = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a child of a shell's background job would ignore it
    with tempfile.TemporaryDirectory() as temporary:
        place = a.keep or Path(temporary)
        (place / "runs").mkdir(parents=True)
        outcome = kill_all(SUBJECTS[a.subject](place, a.size), a.kills, a.seed, place / "runs", progress=True)
    print(outcome)
    return int(bool(outcome.wrong))


if __name__ == "__main__":
    sys.exit(main())
