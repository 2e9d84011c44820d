"""A training put down and taken up again: all that `trainer.Training` knows, in one file, and back.

    weights, optimizer (with the rows it has seen), schedule, weight average, task weights, every generator's state,
    the place in the epoch, the logits of its rows so far, the finished epochs, the best weights

With the rows themselves, that is everything its next step depends on: what goes on from the file ends with the same
bits as if it had never stopped. The file is safetensors, its metadata one JSON text in which arrays are named.
"""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from minitx.errors import InputError
from minitx.evaluation.metrics import Report
from minitx.system import check_file
from minitx.training.epochs import Epoch
from minitx.training.trainer import Training
from minitx.writing import whole_file

OF_PROBABILITIES = ("calibration_error", "brier", "average_precision", "error_by_luck", "costs", "mean_cost")
REPORT = ("confusion", "loss", "ordered", *OF_PROBABILITIES)
PLAIN = ("done", "tokens", "seconds", "skipped", "thawed", "seen", "best")  # fields of Training that are data


def save_progress(path: Path, training: Training, **more: Any) -> None:
    """Write where a training stands, and `more`; `InputError` if the file cannot be written, and it is as it was."""
    arrays: dict[str, np.ndarray] = {}
    state = json.dumps(_without_arrays(state_of(training) | more, "", arrays))
    try:
        with whole_file(path) as partial:
            safetensors.numpy.save_file(arrays, partial, {"state": state})  # without a copy of it all in memory
    except safetensors.SafetensorError as error:
        raise InputError(f"{path} cannot be written: {error}") from None


def load_progress(path: Path, training: Training, run: str) -> dict[str, Any]:
    """Put a training of the same settings and rows to where `save_progress` found it; returns all that was saved.

    `InputError` if the file is damaged, or `run`, which was saved with it, is another.
    """
    check_file(path)
    try:
        with safetensors.safe_open(path, "numpy") as file:
            state: dict[str, Any] = _with_arrays(json.loads(file.metadata()["state"]), file.get_tensor)
        for name in PLAIN:
            if type(state[name]) is not type(getattr(training, name)) or not isinstance(state["grams"], list):
                raise TypeError(f"{name} is {state[name]!r:.60}")
        if state["run"] != run:
            raise ValueError("it is of another one, or of other settings")
        if state["done"] < 0 or (state["done"] and state["seen"].keys() != training.model.classes.keys()):
            raise ValueError("the place in the epoch makes no sense")
        restore(training, state)
    except (safetensors.SafetensorError, OSError, ArithmeticError, RecursionError) as error:
        raise InputError(f"{path} is not a checkpoint of this run: {error}") from error
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise InputError(f"{path} is not a checkpoint of this run: {error}") from error
    return state


def state_of(t: Training) -> dict[str, Any]:
    """Where a training stands: dicts and lists of numbers and arrays, which are the training's own, not copies."""
    place = {p: i for i, p in enumerate(p for group in t.optimizer.param_groups for p in group["params"])}
    return {
        **{name: getattr(t, name) for name in PLAIN},
        "model": t.model.state_dict(),
        "task_weights": t.task_weights.state_dict(),
        "optimizer": t.optimizer.state_dict(),
        "seen_rows": {place[p]: rows for p, rows in t.optimizer.seen_rows.items()},
        "schedule": t.schedule.state_dict() if t.schedule else None,
        "average": t.average.state_dict() if t.average else None,
        "order": t.order if t.done else t.rng.bit_generator.state,
        "dropout": [generator.bit_generator.state for generator in t.parallel.rngs],
        "epochs": [_plain_epoch(epoch) for epoch in t.epochs],
    }


def restore(t: Training, state: Mapping[str, Any]) -> None:
    """Put a training to where `state_of` found it.

    With other threads than it had, the generators of those that there were go on, and the others begin.
    """
    parameters = [p for group in t.optimizer.param_groups for p in group["params"]]
    t.model.load_state_dict(state["model"])
    t.task_weights.load_state_dict(state["task_weights"])
    t.optimizer.load_state_dict(state["optimizer"])
    t.optimizer.seen_rows = {parameters[int(i)]: rows for i, rows in state["seen_rows"].items()}
    if t.schedule:
        t.schedule.load_state_dict(state["schedule"])
    if t.average:
        t.average.load_state_dict(state["average"])
    t.rng.bit_generator.state = state["order"]
    for generator, saved in zip(t.parallel.rngs, state["dropout"], strict=False):
        generator.bit_generator.state = saved
    t.order, t.epochs = state["order"], [_epoch(epoch, t.model.classes) for epoch in state["epochs"]]
    for name in PLAIN:
        setattr(t, name, state[name])


def _plain_epoch(epoch: Epoch) -> dict[str, Any]:
    """An epoch with its reports as lists of what they are made of."""
    plain = {field.name: getattr(epoch, field.name) for field in dataclasses.fields(epoch)}
    for part in ("train", "validation"):
        plain[part] = {head: [getattr(report, name) for name in REPORT] for head, report in plain[part].items()}
    return plain


def _epoch(plain: dict[str, Any], classes: Mapping[str, tuple[str, ...]]) -> Epoch:
    reports = {
        part: {
            head: Report(classes[head], **dict(zip(REPORT, figures, strict=True)))
            for head, figures in plain[part].items()
        }
        for part in ("train", "validation")
    }
    return Epoch(**(plain | reports))


def _without_arrays(value: Any, name: str, arrays: dict[str, np.ndarray]) -> Any:
    """`value` with each array put into `arrays` and {"array": its name there} in its place."""
    if isinstance(value, np.ndarray):
        arrays[name] = np.ascontiguousarray(value)
        return {"array": name}
    if isinstance(value, Mapping):
        return {str(key): _without_arrays(item, f"{name}/{key}", arrays) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_arrays(item, f"{name}/{i}", arrays) for i, item in enumerate(value)]
    return value


def _with_arrays(value: Any, array: Any) -> Any:
    """The reverse; `array` gives an array by name."""
    if isinstance(value, dict):
        return (
            array(value["array"])
            if value.keys() == {"array"}
            else {k: _with_arrays(v, array) for k, v in value.items()}
        )
    return [_with_arrays(item, array) for item in value] if isinstance(value, list) else value
