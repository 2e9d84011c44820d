"""A run that is interrupted at any step goes on to the same bits, and loses nothing to whatever else goes wrong."""

import dataclasses
import errno
import json
import os
import shutil
import signal
import threading
from pathlib import Path

import numpy as np
import pytest
import safetensors
import safetensors.numpy
import torch

from benchmarks.torch_twin import TorchMultiTask
from minitx.app import experiment as app, manifest
from minitx.app.checkpoints import Stop
from minitx.app.cli import main
from minitx.app.experiment import replay, resume, run
from minitx.app.prepare import prepare
from minitx.app.settings import Experiment
from minitx.data.batches import length_batches
from minitx.data.samples import synthetic_reviews
from minitx.errors import InputError
from minitx.training.checkpoint import load_model
from minitx.training.parallel import DataParallel
from minitx.writing import CHECKPOINT, RUN, UNFINISHED

SIZES = {"hidden_size": 16, "num_heads": 2, "num_layers": 2, "intermediate_size": 16, "vocab_size": 300}
ROWS, STEPS = 112, 5  # training rows, steps of an epoch
QUIET = {"progress": False, "log": lambda line: None, "checkpoint_every": 0}

# What a checkpoint has to know beside weights, optimizer and schedule.
KINDS = {
    "as it comes": {},
    "thawed later": {"stages": ({"train": ["heads"]}, {"train": "everything", "epoch": 1.4, "rate": 0.5})},
    "frozen again": {"stages": ({"train": "everything"}, {"train": ["heads"], "epoch": 0.6})},
    "a frozen encoder": {"freeze": ("backbone",)},
    "learned task weights": {"task_weighting": "uncertainty"},
    "no weight average, one thread, in pieces": {"weight_average": 0.0, "threads": 1, "accumulate": 2},
    "no clipping": {"max_grad_norm": float("inf")},
    "three threads": {"threads": 3, "schedule": "cosine"},
}


class StopAfter(Stop):
    """As if Ctrl-C came during step `steps` of the run."""

    def __init__(self, steps: int) -> None:
        self.left = steps
        super().__init__()

    @property
    def asked(self) -> bool:
        self.left -= self.patient
        return self.patient and self.left < 0

    @asked.setter
    def asked(self, value: bool) -> None:
        pass


def contents(directory: Path) -> dict[str, object]:
    """Every file's bytes, but the times."""
    found: dict[str, object] = {
        str(file.relative_to(directory)): file.read_bytes() for file in sorted(directory.rglob("*")) if file.is_file()
    }
    lines = [line.split(",") for line in found.pop("history.csv").decode().splitlines()]
    keep = [i for i, name in enumerate(lines[0]) if name not in ("seconds", "tokens_per_second")]
    found["history"] = [[line[i] for i in keep] for line in lines]
    about = json.loads(found.pop("manifest.json"))
    del about["files"]["history.csv"]
    return found | {"manifest": about}


def interrupted(settings: Experiment, out: Path, steps: int) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(settings, out, **QUIET, stop=StopAfter(steps))
    assert (out / UNFINISHED / CHECKPOINT).exists()
    assert [file.name for file in out.iterdir()] == [UNFINISHED]


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    data = tmp_path_factory.mktemp("data") / "few.csv"
    synthetic_reviews(n=200, seed=1).to_csv(data, index=False)
    return Experiment(data=str(data), train_rows=ROWS, epochs=2, batch_size=24, **SIZES)


@pytest.fixture(autouse=True)
def pictures(monkeypatch, request):
    """Only where it matters: they take most of the time of so small a run."""
    if "pictures" not in request.keywords:
        for name in ("draw", "timeline"):
            monkeypatch.setattr(app, name, lambda *_: None)


@pytest.fixture
def whole(small, tmp_path):
    """The small run, never interrupted."""
    run(small, tmp_path / "whole", **QUIET)
    return tmp_path / "whole"


@pytest.fixture(scope="module")
def stopped(small, tmp_path_factory):
    """A run that was interrupted; not to be written to."""
    out = tmp_path_factory.mktemp("stopped") / "cut"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(app, "timeline", lambda *_: None)
        interrupted(small, out, 2)
    return out


@pytest.mark.parametrize("kind", [pytest.param("as it comes", marks=pytest.mark.pictures), *list(KINDS)[1:]])
def test_a_run_that_is_interrupted_again_and_again_ends_with_the_same_bits(small, tmp_path, kind):
    settings = dataclasses.replace(small, **KINDS[kind])
    run(settings, tmp_path / "whole", **QUIET)
    interrupted(settings, tmp_path / "cut", 2)
    for steps in (1, STEPS):  # in the same epoch, over the end of it
        with pytest.raises(KeyboardInterrupt):
            resume(tmp_path / "cut", **QUIET, stop=StopAfter(steps))
    resume(tmp_path / "cut", **QUIET)
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")


@pytest.mark.parametrize("steps", [0, STEPS - 1, STEPS, 2 * STEPS - 1])
def test_at_the_first_and_the_last_step_of_an_epoch(small, tmp_path, whole, steps):
    interrupted(small, tmp_path / "cut", steps)
    resume(tmp_path / "cut", **QUIET)
    assert contents(tmp_path / "cut") == contents(whole)


def test_an_error_after_the_training_costs_no_step_of_it(small, tmp_path, whole, monkeypatch):
    def fail(*_):
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(app, "judge", fail)
        with pytest.raises(MemoryError):
            run(small, tmp_path / "cut", **QUIET)
    monkeypatch.setattr("minitx.training.trainer.Training.step", fail)  # not one more is done
    resume(tmp_path / "cut", **QUIET)
    assert contents(tmp_path / "cut") == contents(whole)


@pytest.mark.pictures
def test_a_picture_that_cannot_be_drawn_does_not_cost_the_result(small, tmp_path, monkeypatch):
    def fail(*_):
        raise MemoryError("no room for a picture")

    monkeypatch.setattr(app, "confusion_picture", fail)
    lines: list[str] = []
    run(small, tmp_path / "run", progress=False, log=lines.append)
    assert "warning: a picture could not be drawn: MemoryError: no room for a picture" in lines
    load_model(tmp_path / "run")


def test_with_other_threads_it_goes_on_to_a_stated_tolerance(small, tmp_path):
    settings = dataclasses.replace(small, dropout=0.0, head_dropout=0.0, threads=2)
    run(settings, tmp_path / "whole", **QUIET)
    interrupted(settings, tmp_path / "cut", 3)
    resume(tmp_path / "cut", **QUIET, threads=3)
    one, other = (load_model(tmp_path / name).state_dict() for name in ("whole", "cut"))
    for name, weights in one.items():
        np.testing.assert_allclose(other[name], weights, atol=1e-4)
    assert json.loads((tmp_path / "cut" / "manifest.json").read_text("utf-8"))["threads"] == 3


def test_a_disk_that_is_full_stops_the_run_and_keeps_the_last_checkpoint(small, tmp_path, whole, monkeypatch):
    real, saved = os.fsync, []

    def fsync(descriptor):
        saved.append(descriptor)
        if len(saved) > 12:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        with pytest.raises(InputError, match=r"checkpoint\.safetensors cannot be written: No space left on device"):
            run(small, tmp_path / "cut", **QUIET)
    resume(tmp_path / "cut", **QUIET)
    assert contents(tmp_path / "cut") == contents(whole)


def test_what_is_resumed_must_be_what_was_begun(small, tmp_path, monkeypatch):
    with pytest.raises(InputError, match="holds no unfinished run: there is no such directory"):
        resume(tmp_path / "nothing", **QUIET)
    interrupted(small, tmp_path / "cut", 2)
    with pytest.raises(InputError, match=r"holds no unfinished run: there is one in .*cut$"):
        resume(tmp_path, **QUIET)
    before = {file: file.read_bytes() for file in (tmp_path / "cut").rglob("*") if file.is_file()}
    with pytest.raises(InputError, match="holds an unfinished run: `minitx train --resume"):
        run(small, tmp_path / "cut", **QUIET)
    with monkeypatch.context() as patch:
        patch.setattr(manifest, "_versions", lambda: {"minitx": "9.9"})
        with pytest.raises(InputError, match=r"was begun by minitx 0\S+, this is 9\.9"):
            resume(tmp_path / "cut", **QUIET)
    file = tmp_path / "cut" / UNFINISHED / RUN
    file.write_text(file.read_text("utf-8").replace("minitx run 2", "minitx run 3"), "utf-8")
    with pytest.raises(InputError, match=r"run\.json: format 'minitx run 3' is not implemented"):
        resume(tmp_path / "cut", **QUIET)
    file.write_bytes(before[file])
    assert {file: file.read_bytes() for file in before} == before


def test_a_damaged_checkpoint_is_one_line(small, tmp_path):
    interrupted(small, tmp_path / "cut", 2)
    file = tmp_path / "cut" / UNFINISHED / CHECKPOINT
    whole = file.read_bytes()
    for damaged in (whole[:-100], b"", whole.replace(b'\\"done\\"', b'\\"dune\\"')):
        file.write_bytes(damaged)
        with pytest.raises(InputError, match=r"checkpoint\.safetensors is not a checkpoint of this run"):
            resume(tmp_path / "cut", **QUIET)
    assert whole != damaged


def test_other_data_is_refused(small, tmp_path, reviews_csv, monkeypatch):
    data = tmp_path / "my.csv"
    data.write_bytes(Path(reviews_csv).read_bytes())
    settings = dataclasses.replace(small, data=str(data))
    interrupted(settings, tmp_path / "cut", 2)
    with data.open("a", encoding="utf-8") as file:
        file.write("\n")
    with pytest.raises(InputError, match=r"my\.csv is not what .*cut began with"):
        resume(tmp_path / "cut", **QUIET)
    data.unlink()
    with pytest.raises(InputError, match=r"my\.csv: No such file"):
        resume(tmp_path / "cut", **QUIET)
    data.write_bytes(Path(reviews_csv).read_bytes())
    resume(tmp_path / "cut", **QUIET)


def test_a_finished_run_is_done_again_and_compared(tmp_path, whole, capsys, monkeypatch):
    compared, differ = replay(whole, progress=False)
    assert compared > 100
    assert differ == []
    for line in ("metrics.json", "heads.safetensors"):
        about = json.loads((whole / "manifest.json").read_text("utf-8"))
        assert line in about["files"]
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in ("manifest.json", "metrics.json", "history.csv"):
        text = (whole / file).read_text("utf-8").replace('"best_epoch": ', '"best_epoch": 1')
        (copy / file).write_text(text, "utf-8")
    assert main(["replay", str(copy)]) == 1
    assert "metrics.json: best_epoch: 1" in capsys.readouterr().out
    assert main(["replay", str(tmp_path)]) == 2
    assert "has no manifest.json" in capsys.readouterr().err


def test_replay_finds_a_file_that_is_damaged_or_gone(whole):
    weights = bytearray((whole / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (whole / "model.safetensors").write_bytes(weights)
    (whole / "heads.safetensors").unlink()
    _, differ = replay(whole, progress=False)
    assert [line.partition(":")[0] for line in differ] == ["heads.safetensors", "model.safetensors"]
    (whole / "history.csv").write_text("x\n", encoding="utf-8")
    (whole / "metrics.json").unlink()
    with pytest.raises(InputError, match=r"metrics\.json"):
        replay(whole, progress=False)


def test_what_was_changed_on_the_way_is_said_and_recorded(small, tmp_path):
    interrupted(small, tmp_path / "cut", 2)
    lines: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        resume(tmp_path / "cut", **QUIET | {"log": lines.append}, threads=3, on_nan="skip", stop=StopAfter(1))
    assert "note: threads 2, then 3: not every bit" in "\n".join(lines)
    resume(tmp_path / "cut", **QUIET)
    about = json.loads((tmp_path / "cut" / "manifest.json").read_text("utf-8"))
    assert about["changes"] == ["threads 2, then 3", "on_nan stop, then skip"]
    assert (about["threads"], about["experiment"]["on_nan"]) == (3, "skip")
    _, differ = replay(tmp_path / "cut", progress=False)
    assert differ[:2] == ["note: threads 2, then 3", "note: on_nan stop, then skip"]


def test_the_checkpoint_of_another_run_is_refused(small, tmp_path):
    interrupted(small, tmp_path / "one", 2)
    interrupted(dataclasses.replace(small, seed=1), tmp_path / "two", 2)
    places = [tmp_path / name / UNFINISHED / CHECKPOINT for name in ("one", "two")]
    places[0].write_bytes(places[1].read_bytes())
    with pytest.raises(InputError, match="it is of another one, or of other settings"):
        resume(tmp_path / "one", **QUIET)


def test_a_relative_path_is_never_another_file(small, tmp_path, monkeypatch):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        synthetic_reviews(n=200, seed=1 if name == "a" else 2).to_csv(tmp_path / name / "d.csv", index=False)
    monkeypatch.chdir(tmp_path / "a")
    interrupted(dataclasses.replace(small, data="d.csv"), tmp_path / "cut", 2)
    monkeypatch.chdir(tmp_path / "b")
    with pytest.raises(InputError, match=r"cut was begun in .*a, where its paths start from"):
        resume(tmp_path / "cut", **QUIET)
    assert main(["train", "--resume", str(tmp_path / "cut")]) == 0


DAMAGE = {
    "done": -1,
    "tokens": "x",
    "seconds": None,
    "grams": 5,
    "run": "x",
    "order": {"bit_generator": "PCG64", "state": {"state": -1, "inc": 1}, "has_uint32": 0, "uinteger": 0},
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_checkpoint_with_an_absurd_entry_is_one_line(stopped, tmp_path, name):
    copy = tmp_path / "cut"
    shutil.copytree(stopped, copy)
    file = copy / UNFINISHED / CHECKPOINT
    with safetensors.safe_open(file, "numpy") as opened:
        state = json.loads(opened.metadata()["state"])
    arrays = safetensors.numpy.load_file(file)
    safetensors.numpy.save_file(arrays, file, {"state": json.dumps(state | {name: DAMAGE[name]})})
    with pytest.raises(InputError, match=r"checkpoint\.safetensors is not a checkpoint of this run"):
        resume(copy, **QUIET)


def test_a_pipe_in_place_of_a_checkpoint_is_refused(stopped, tmp_path):
    copy = tmp_path / "cut"
    shutil.copytree(stopped, copy)
    (copy / UNFINISHED / CHECKPOINT).unlink()
    os.mkfifo(copy / UNFINISHED / CHECKPOINT)
    with pytest.raises(InputError, match="is a pipe or a device"):
        resume(copy, **QUIET)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_skipping_never_ends_in_a_model_that_cannot_be_read(small, tmp_path, capsys):
    assert main(command(small, "--out", tmp_path / "wild", "--lr", "1e6", "--on-nan", "skip")) == 2
    assert "nothing reads" in capsys.readouterr().err
    assert not (tmp_path / "wild" / "config.json").exists()


def test_what_was_to_be_ignored_stays_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Stop():
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


def test_signals_ask_first_and_then_end_it(monkeypatch):
    before = signal.getsignal(signal.SIGTERM)
    with Stop() as stop:
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
        assert stop.number == signal.SIGTERM

        def twice():
            with stop.patience():
                signal.raise_signal(signal.SIGINT)
                assert stop.asked
                signal.raise_signal(signal.SIGINT)
                raise AssertionError("the second one ends it")

        with pytest.raises(KeyboardInterrupt):
            twice()
    assert signal.getsignal(signal.SIGTERM) is before


def test_asked_in_the_last_moment_it_still_stops():
    def last():
        with Stop() as stop, stop.patience():
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(KeyboardInterrupt):
        last()


def test_in_another_thread_nothing_listens_to_signals():
    found = []
    thread = threading.Thread(target=lambda: found.append(Stop().__enter__().before))
    thread.start()
    thread.join()
    assert found == [{}]


def command(small, *more: object) -> list[str]:
    settings = {"data": small.data, "epochs": 2, "batch_size": 24, **SIZES}
    return ["train", *(f"--{name.replace('_', '-')}={value}" for name, value in settings.items()), *map(str, more)]


def test_the_command_line_says_how_to_go_on_and_does(small, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("minitx.app.cli.Stop", lambda: StopAfter(3))
    assert main(command(small, "--out", "my run")) == 130
    err = capsys.readouterr().err
    assert "interrupted" in err
    assert f"`minitx train --resume '{Path('my run')}'` goes on" in err
    monkeypatch.undo()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert main(["train", "--resume", "../my run", "--epochs", "3"]) == 2
    assert "--resume goes on as the run began" in capsys.readouterr().err
    assert main(["train", "--resume", "../my run"]) == 0
    assert load_model(tmp_path / "my run")
    assert main(["train", "--resume", "../my run"]) == 2
    assert "it is finished" in capsys.readouterr().err
    assert main([*command(small), "--checkpoint-every", "nan"]) == 2
    assert "minutes between checkpoints" in capsys.readouterr().err


def test_two_runs_without_out_take_two_names(small, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    codes: list[int] = []
    real = app.prepare
    both = threading.Barrier(2)

    def together(*args):
        both.wait(timeout=60)  # each has taken its name before either goes on
        return real(*args)

    monkeypatch.setattr(app, "prepare", together)
    threads = [threading.Thread(target=lambda: codes.append(main(command(small)))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes == [0, 0]
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["few", "few-2"]
    for path in (tmp_path / "runs").iterdir():
        load_model(path)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_the_last_good_checkpoint_stays_when_numbers_become_nan(small, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(command(small, "--out", "wild", "--lr", "1e30", "--head-lr", "1e30", "--checkpoint-every", "0")) == 2
    err = capsys.readouterr().err
    assert "error: epoch 1, step" in err
    assert "on_nan='skip'" in err
    assert "minitx train --resume wild" in err
    assert not (tmp_path / "wild" / "config.json").exists()


def test_torch_goes_on_from_a_checkpoint_with_equal_losses(small, tmp_path):
    """The way out in the middle of a training: weights and AdamW's state, for 20 steps in a twin of torch's layers."""
    settings = dataclasses.replace(small, dropout=0.0, head_dropout=0.0)
    interrupted(settings, tmp_path / "cut", STEPS + 2)
    with safetensors.safe_open(tmp_path / "cut" / UNFINISHED / CHECKPOINT, "pt") as file:

        def tensors(value):
            if isinstance(value, dict):
                is_array = value.keys() == {"array"}
                return file.get_tensor(value["array"]) if is_array else {key: tensors(x) for key, x in value.items()}
            return [tensors(x) for x in value] if isinstance(value, list) else value

        state = tensors(json.loads(file.metadata()["state"]))
    job = prepare(settings, lambda line: None)
    ours, rate = job.model, job.plan.optimizer
    ours.load_state_dict({name: array.numpy() for name, array in state["model"].items()})
    names = {parameter: name for name, parameter in ours.named_parameters()}
    twin = TorchMultiTask(ours)
    theirs = dict(twin.named_parameters())
    groups = [{"params": [theirs[names[p]] for p in group["params"]]} for group in rate.param_groups]
    their_rate = torch.optim.AdamW(groups)
    saved = {int(i): one for i, one in state["optimizer"]["state"].items()}
    their_rate.load_state_dict({"state": saved, "param_groups": state["optimizer"]["param_groups"]})
    arrays = {i: {name: x.numpy() if torch.is_tensor(x) else x for name, x in one.items()} for i, one in saved.items()}
    rate.load_state_dict({"state": arrays, "param_groups": state["optimizer"]["param_groups"]})
    order = [p for group in rate.param_groups for p in group["params"]]
    rate.seen_rows = {order[int(i)]: rows.numpy() for i, rows in state["seen_rows"].items()}
    losses, rng = [], np.random.default_rng(5)
    with DataParallel(ours, 2) as parallel:
        while len(losses) < 20:
            for batch in length_batches(*job.rows["train"], batch_size=24, pad_id=0, rng=rng):
                rate.zero_grad()
                loss = sum(parallel.backward(batch).losses.values())
                rate.step()
                their_rate.zero_grad()
                labels = {head: torch.tensor(target) for head, target in batch.labels.items()}
                expected = twin.loss(torch.tensor(batch.ids), torch.tensor(batch.attention_mask), labels)
                expected.backward()
                their_rate.step()
                losses.append((loss, expected.item()))
    found, expected = np.transpose(losses)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert expected[-5:].mean() < expected[:5].mean()
