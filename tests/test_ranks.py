"""Several processes of mpiexec train as one does: the same rows, the same sums, and one that is heard."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.kills import kill_all, ranks as killed_ranks
from minitx.app import train_command
from minitx.app.checkpoints import Checkpoints, Stop
from minitx.app.cli import main
from minitx.app.manifest import Manifest
from minitx.app.settings import Experiment
from minitx.app.task_gradients import TaskGradients
from minitx.app.together import Agreement
from minitx.errors import InputError
from minitx.training import ranks
from minitx.training.epochs import Epoch
from minitx.training.ranks import Alone, Ranks, ranks_here

pytest.importorskip("mpi4py")
MPIEXEC = shutil.which("mpiexec", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
pytestmark = pytest.mark.skipif(MPIEXEC is None, reason="mpiexec is not installed (pip install mpich)")

FIT = """
import sys
import numpy as np
from minitx.data.batches import TokenisedRows
from minitx.models.config import EncoderConfig
from minitx.models.encoder import SentenceEncoder
from minitx.models.multitask import MultiTaskModel
from minitx.training.optim import SGD, AdamW
from minitx.training.ranks import ranks_here
from minitx.training.trainer import TrainingSettings, fit

out, lanes, dtype, dropout, optimizer = sys.argv[1], int(sys.argv[2]), sys.argv[3], float(sys.argv[4]), sys.argv[5]
ranks, rng, data = ranks_here(), np.random.default_rng(0), np.random.default_rng(1)
sizes = {"hidden_size": 16, "num_layers": 2, "num_heads": 2, "intermediate_size": 32, "max_length": 32}
encoder = SentenceEncoder(EncoderConfig(200, **sizes, dropout=dropout), rng=rng)
model = MultiTaskModel(encoder, {"a": 3, "b": 2}, dropout, rng=rng).to(dtype)
sequences = [data.integers(1, 200, size=data.integers(2, 30)).tolist() for _ in range(91)]
rows = TokenisedRows(sequences, {"a": data.integers(0, 3, 91), "b": data.integers(-1, 2, 91)})
rows.labels["b"][rows.labels["b"] < 0] = -100
rate = {"SGD": SGD(model.parameters(), lr=0.5), "AdamW": AdamW(model.parameters(), lr=1e-2)}[optimizer]
how = TrainingSettings(epochs=2, batch_size=18, threads=lanes, progress=False)  # the last batch has one row
epochs = fit(model, rows, rows, rate, how, ranks=ranks, rng=np.random.default_rng(3))
losses = [[report.loss for report in epoch.train.values()] for epoch in epochs]
weights = {name: p.data for name, p in model.named_parameters()}
np.savez(f"{out}.{ranks.rank}.npz", losses=losses, **weights)
"""


def mpiexec(count, *command, cwd=None):
    """A command in several processes: exit code, standard output and errors."""
    start = [MPIEXEC, "-n", str(count)] if count > 1 else []
    found = subprocess.run([*start, sys.executable, *command], cwd=cwd, capture_output=True, text=True, timeout=300)
    return found.returncode, found.stdout, found.stderr


def fitted(folder, count, lanes, dtype="float32", dropout=0.1, optimizer="AdamW"):
    """What each of the processes has after training."""
    out = folder / f"{count}-{lanes}"
    code, _, err = mpiexec(count, "-c", FIT, str(out), str(lanes), dtype, str(dropout), optimizer)
    assert code == 0, err
    return [dict(np.load(f"{out}.{rank}.npz")) for rank in range(count)]


@pytest.mark.parametrize(("count", "lanes"), [(2, 2), (2, 3), (3, 3)])
def test_processes_give_the_bits_of_as_many_threads_dropout_included(tmp_path, count, lanes):
    (alone,), others = fitted(tmp_path, 1, lanes), fitted(tmp_path, count, lanes)
    for other in others:
        for name, value in alone.items():
            if count == lanes:
                np.testing.assert_array_equal(other[name], value, err_msg=name)
            else:  # a rank adds up its own lanes first
                np.testing.assert_array_equal(other[name], others[0][name], err_msg=name)
    np.testing.assert_allclose(others[0]["losses"], alone["losses"], rtol=1e-6)


@pytest.mark.parametrize(("dtype", "bound"), [("float32", 1e-6), ("float64", 1e-12)])
def test_processes_give_the_losses_and_weights_of_one(tmp_path, dtype, bound):
    (alone,), (first, second) = fitted(tmp_path, 1, 1, dtype, 0, "SGD"), fitted(tmp_path, 2, 2, dtype, 0, "SGD")
    for name, value in alone.items():
        np.testing.assert_allclose(first[name], value, rtol=bound, atol=bound, err_msg=name)
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)


SUMS = """
import numpy as np
from minitx.autograd.engine import Sums
from minitx.autograd.rows import RowGradient
from minitx.nn.module import Parameter
from minitx.training import ranks
ranks.BUCKET = 100
all, total = ranks.ranks_here(), Sums()
r, shapes = all.rank, [(4,), (30, 2), (3, 3), (7, 2), (2,), (5, 2), (40,)]
wide = (0, 4)
parameters = [Parameter(np.zeros(shape, "f8" if i in wide else "f4")) for i, shape in enumerate(shapes)]
for i, p in enumerate(parameters):
    if i == 0 or i == 6 or (i == 2 and r == 1) or (i == 5 and r == 0):
        total.add(p, np.full(p.shape, 10.0**r, p.dtype))
    if i == 1 or (i == 3 and r == 1) or (i == 5 and r == 1):
        rows = np.array([r, 2, 2 + r])
        total.add(p, RowGradient(rows, np.full((3, 2), 10.0**r, p.dtype), p.shape))
found = all.add(total, parameters)
kinds = [type(found[p]).__name__ if p in found else None for p in parameters]
assert kinds == ["ndarray", "RowGradient", "ndarray", "RowGradient", None, "ndarray", "ndarray"], kinds
assert [found[p].dtype for p in parameters if p in found] == [p.data.dtype for p in parameters if p in found]
full = [np.asarray(found[p]) for p in parameters if p in found]
assert (full[0] == 11).all() and (full[1][:5, 0] == [1, 10, 12, 10, 0]).all(), full[:2]
assert (full[2] == 10).all() and (full[3][:5, 1] == [0, 10, 10, 10, 0]).all(), full[2:4]
assert (full[4][:, 0] == [1, 11, 11, 11, 1]).all() and (full[5] == 11).all(), full[4:]
assert all.share(r) == [0, 1] and all.lanes(5) == 5 and all.lanes(0) >= 2
import os
os.sched_getaffinity = lambda pid: set(range(4))
assert all.lanes(0) == 4  # of both
os.sched_getaffinity = lambda pid: {4 * r + core for core in range(4)}
assert all.lanes(0) == 8  # each its own
"""


def test_arrays_and_rows_are_added_up_though_some_have_none():
    code, _, err = mpiexec(2, "-c", SUMS)
    assert code == 0, err


MINITX = "import sys; from minitx.app.cli import main; sys.exit(main())"
SMALL = [
    *("--num-layers", "1", "--hidden-size", "16", "--intermediate-size", "16", "--num-heads", "2"),
    "--epochs",
    "2",
]


def test_a_command_in_two_processes_is_heard_once_and_writes_what_one_writes(tmp_path):
    code, out, err = mpiexec(2, "-c", MINITX, "train", *SMALL, "--out", "two", cwd=tmp_path)
    assert (code, err) == (0, "")
    assert out.count("written to two") == 1
    assert mpiexec(1, "-c", MINITX, "train", *SMALL, "--out", "one", "--threads", "2", cwd=tmp_path)[0] == 0
    for name in ("model.safetensors", "heads.safetensors", "words.safetensors", "minitx.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two"]


def test_how_many_processes_there_were_is_noted_as_it_decides_how_sums_are_rounded(tmp_path):
    whole = Manifest.of(Experiment(), False, threads=4, processes=2)
    whole.write(tmp_path / "whole.json")
    assert Manifest.read(tmp_path / "whole.json").check(tmp_path) == ["processes 2, then 1"]
    assert whole.check(tmp_path, 2) == []
    assert Manifest.of(Experiment(), False, threads=2, processes=2).check(tmp_path) == []  # a + b is b + a


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--data", "none.csv"], "none.csv: No such file or directory; expected a readable file"),
        (["--threads", "1"], "threads is 1, fewer than the 2 processes; expected 0 or that many"),
        (["--resume", "nothing"], "nothing holds no unfinished run"),
    ],
)
def test_what_is_wrong_is_told_once_and_ends_all(tmp_path, more, told):
    begin = [] if "--resume" in more else [*SMALL, "--out", "new"]
    code, _, err = mpiexec(2, "-c", MINITX, "train", *begin, *more, cwd=tmp_path)
    assert code == 2, err
    assert [told in line for line in err.splitlines() if line.startswith("error: ")] == [True], err
    assert list(tmp_path.iterdir()) == []


ONE_WRONG = """
import os, sys
from minitx.app.cli import main
sys.exit(main([*sys.argv[2:], *(sys.argv[1].split() if os.environ["PMI_RANK"] == "1" else [])]))
"""


@pytest.mark.parametrize(("flag", "told"), [("--nonsense", "unrecognized arguments: --nonsense"), ("--threads 4", "")])
def test_a_flag_of_one_process_alone_leaves_none_waiting(tmp_path, flag, told):
    code, _, err = mpiexec(2, "-c", ONE_WRONG, flag, "train", *SMALL, "--out", "new", cwd=tmp_path)
    assert (code, "Traceback" in err) == (2, False), err
    assert f"error: {told}" in err


UNEQUAL = """
import os, sys
from minitx.app.cli import main
sys.exit(main(["recipes"] if os.environ["PMI_RANK"] == "1" else ["predict", "none", "a text"]))
"""


def test_another_command_that_fails_in_one_process_waits_for_none():
    code, _, err = mpiexec(2, "-c", UNEQUAL)
    assert (code, err.count("error: ")) == (2, 1), err


CLOSED = """
import os, sys
from minitx.app.cli import main
if os.environ["PMI_RANK"] == "0":  # nobody reads what it prints, as behind `| head -1`
    read, write = os.pipe()
    os.close(read)
    os.dup2(write, 1)
sys.exit(main(["train", *sys.argv[1:]]))
"""


def test_all_end_when_nobody_reads_what_the_first_one_prints(tmp_path):
    code, _, err = mpiexec(2, "-c", CLOSED, *SMALL, "--out", "new", cwd=tmp_path)
    assert code != 0
    assert "Traceback" not in err


def test_a_mistake_of_ours_is_shown_once_by_one_process(monkeypatch, capsys):
    def mistaken(a):
        raise ValueError("a mistake")

    monkeypatch.setattr(train_command, "_train", mistaken)
    with pytest.raises(ValueError, match="a mistake"):
        main(["train"])
    assert capsys.readouterr().err == ""  # Python itself will show it


def test_what_is_left_when_a_process_is_killed_is_gone_on_with_by_two_or_by_one(tmp_path):
    (tmp_path / "runs").mkdir()
    outcome = kill_all(killed_ranks(tmp_path, size=1 / 4), 3, seed=1, place=tmp_path / "runs")
    assert outcome.kills.total() == 3
    assert outcome.wrong == []


def test_processes_that_have_other_data_do_not_train_together(tmp_path):
    for folder, label in (("a", "x"), ("b", "y")):
        (tmp_path / folder).mkdir()
        rows = [f"text {i},{label if i == 7 else 'xyz'[i % 3]}" for i in range(60)]
        (tmp_path / folder / "d.csv").write_text("\n".join(["message,kind", *rows]), encoding="utf-8")
    how = [sys.executable, "-c", MINITX, "train", *SMALL, "--out", "m", "--data", "d.csv", "--text", "message"]
    each = [["-wdir", str(tmp_path / folder), "-n", "1", *how, "--label", "kind=kind"] for folder in "ab"]
    found = subprocess.run([MPIEXEC, *each[0], ":", *each[1]], capture_output=True, text=True, timeout=300)
    assert "error: the processes do not have the same settings and data: their files differ" in found.stderr
    assert found.returncode == 2
    assert not (tmp_path / "a" / "m").exists()


def test_a_plan_is_drawn_by_one(tmp_path):
    code, out, err = mpiexec(2, "-c", MINITX, "train", *SMALL, "--plan", "plan.png", cwd=tmp_path)
    assert (code, out.count("the plan is drawn in plan.png")) == (0, 1), err
    assert [path.name for path in tmp_path.iterdir()] == ["plan.png"]


class Two(Alone):
    """Two ranks, of which the other says what it is told to."""

    size = 2

    def __init__(self, other):
        self.other = other

    def share(self, item):
        return [item, self.other]


class Training:
    model = type("Model", (), {"parameters": lambda self: iter(()), "named_parameters": lambda self: iter(())})()
    epochs, done = (), 1


def test_all_stop_after_the_same_step_when_one_is_asked_to(tmp_path, monkeypatch):
    saved, stop, both = [], Stop(), Two(other=False)
    monkeypatch.setattr("minitx.app.checkpoints.save_progress", lambda *_, **__: saved.append(True))
    keep = Checkpoints(tmp_path / "none", "run", 5.0, stop, both, TaskGradients((), 0, 1))
    keep.on_start(Training())

    def meanwhile(item):
        stop.asked = True  # Ctrl-C, when this one has said that it was not asked
        return [item, False]

    monkeypatch.setattr(both, "share", meanwhile)
    keep.on_step()  # as the other one, which knows nothing of it, goes on
    assert stop.asked
    with pytest.raises(KeyboardInterrupt):
        keep.on_step()
    stop.asked, both.share, both.rank = False, lambda item: [True, item], 1
    with pytest.raises(KeyboardInterrupt):
        keep.on_step()
    assert len(saved) == 1


def test_no_weights_may_part():
    agreement = Agreement(Two(other=True), Training.model)
    with pytest.raises(InputError, match="after epoch 3 the processes do not have the same weights"):
        agreement.on_epoch(Epoch(3, {}, {}, 0.0, 0.0, 0.0))


def test_one_process_is_alone_and_several_need_mpi4py(monkeypatch):
    for name in ranks.SIZES:
        monkeypatch.delenv(name, raising=False)
    assert type(ranks_here()) is Alone
    monkeypatch.setenv("PMI_SIZE", "1")
    assert type(ranks_here()) is Alone
    monkeypatch.setenv("PMI_SIZE", "2")
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    with pytest.raises(InputError, match="there are several processes: `pip install mpi4py mpich` lets them talk"):
        ranks_here()
    with pytest.raises(ImportError):
        Ranks()

    def no_library(name):
        raise RuntimeError("cannot load MPI library\nlibmpi.so: not found")

    monkeypatch.setattr(ranks.importlib, "import_module", no_library)
    with pytest.raises(InputError, match=r"lets them talk: cannot load MPI library$"):
        ranks_here()


@pytest.mark.parametrize(("size", "code"), [("1", 130), ("2", -9)])
def test_ctrl_c_before_one_of_several_has_begun_kills_it_which_mpiexec_tells_the_others(size, code):
    leave = [sys.executable, "-c", "from minitx.command import _leave; _leave()"]
    found = subprocess.run(leave, env=os.environ | {"PMI_SIZE": size}, capture_output=True, text=True, timeout=60)
    assert (found.returncode, found.stderr) == (code, "interrupted; nothing was written\n")
