"""Five training steps in a process of their own, for its memory: `python -m benchmarks.alone minitx|torch STEP`.

Prints the peak resident memory of the process and, of that, what came on top of the imports, in MB.
"""

import importlib
import subprocess
import sys
from pathlib import Path

from benchmarks.steps import STEPS, make
from minitx.training.optim import Adam
from minitx.training.parallel import DataParallel


def peak_megabytes() -> float:
    """Of this process. Not `getrusage`, whose figure also covers the process that started this one."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def our_steps(name: str) -> None:
    model, batch = make(*STEPS[name][0], dropout=0.1)
    optimizer = Adam(model.parameters())
    with DataParallel(model) as parallel:
        for _ in range(5):
            optimizer.zero_grad()
            parallel.backward(batch)
            optimizer.step(parallel.pool.map)


def torch_steps(name: str) -> None:
    torch, twins = importlib.import_module("torch"), importlib.import_module("benchmarks.torch_twin")
    model, batch = make(*STEPS[name][0], dropout=0.1)
    twin = twins.TorchMultiTask(model)
    del model
    optimizer = torch.optim.Adam(twin.parameters())
    labels = {head: torch.from_numpy(y) for head, y in batch.labels.items()}
    for _ in range(5):
        optimizer.zero_grad()
        twin.loss(torch.from_numpy(batch.ids), torch.from_numpy(batch.attention_mask), labels).backward()
        optimizer.step()


def measure(side: str, name: str) -> tuple[float, float]:
    """Peak, and peak above the imports, in MB, of a fresh process."""
    command = [sys.executable, "-m", "benchmarks.alone", side, name]
    peak, growth = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return float(peak), float(growth)


if __name__ == "__main__":
    side, name = sys.argv[1:]
    if side == "torch":
        importlib.import_module("benchmarks.torch_twin")
    before = peak_megabytes()
    {"minitx": our_steps, "torch": torch_steps}[side](name)
    print(round(peak_megabytes(), 1), round(peak_megabytes() - before, 1))
