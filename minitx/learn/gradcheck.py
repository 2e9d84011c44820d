"""Is a derivative right? The analytic gradient is compared with the numeric one, and a likely mistake is named."""

import itertools
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from minitx.autograd.context import no_grad
from minitx.autograd.tensor import Tensor
from minitx.learn.numeric import (
    Comparison,
    Function,
    GradcheckError,
    analytic_gradients,
    checked_inputs,
    compare,
    in_float64,
    slopes,
)

HALF = "half of a product rule"


def gradcheck(
    func: Function,
    inputs: Any,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    fast_mode: bool = False,
    seed: int = 0,
) -> bool:
    """Whether the derivatives of `func` are right: |analytic - numeric| <= atol + rtol |numeric|, for every element.

    Args:
        func: an op, a layer or any function of `inputs` that returns a Tensor or several. It must be
            deterministic: dropout needs a new generator with the same seed in each call.
        inputs: a Tensor or a sequence of arguments. Tensors with `requires_grad` are checked, everything else is
            passed on as it is. Tensors are changed in place and restored, so a layer's parameters may be among them:
            `gradcheck(lambda x, *_: layer(x), (x, *layer.parameters()))`.
        eps: the step of the differences.
        atol, rtol: the tolerances, as above.
        raise_exception: False to return False instead of raising.
        fast_mode: compare one random projection of each input's gradient, with two evaluations of `func` instead of two
            for each element. A small error in a few elements of many may pass, and none is located.
        seed: of the random cotangent.

    Raises:
        GradcheckError: a derivative is wrong, or there is none: `func` is random, not finite, or returns constants.
        ValueError: no input requires a gradient, or one that does is itself the result of an op.

    float32 inputs are converted for the duration of the check, with a warning. Torch: `torch.autograd.gradcheck`, which
    compares the whole Jacobian; this compares its product with one random cotangent.

    >>> x = Tensor(np.linspace(0.1, 1, 6).reshape(2, 3), requires_grad=True)
    >>> gradcheck(lambda x: (x * x).sum(dim=0).exp(), x)
    True
    """
    inputs = (inputs,) if isinstance(inputs, Tensor) or callable(inputs) else tuple(inputs)
    checked = checked_inputs(inputs)
    if not checked:
        raise ValueError("gradcheck(func, inputs): no input requires a gradient, as Tensor(x, requires_grad=True) does")
    for i, t in enumerate(inputs):
        if isinstance(t, Tensor) and t.requires_grad and t.dtype != np.float64:
            warnings.warn(f"input {i} is {t.dtype}: checked as float64, as differences need digits", stacklevel=2)
    try:
        with in_float64(inputs):
            found = compare(func, inputs, eps=eps, fast_mode=fast_mode, seed=seed)
            for k, (a, n) in enumerate(zip(found.analytic, found.numeric, strict=True)):
                wrong = ~(np.abs(a - n) <= atol + rtol * np.abs(n))
                if wrong.any() and not raise_exception:
                    return False
                if wrong.any():
                    position = next(i for i, t in enumerate(inputs) if t is checked[k])
                    message = f"gradcheck failed for input {position}, shape {checked[k].shape}: {_worst(a, n, wrong)}"
                    if fast_mode:
                        raise GradcheckError(f"{message}\n  of a random projection; run without fast_mode for details")
                    raise GradcheckError(f"{message}\n  {_diagnose(func, inputs, k, wrong, found, eps, seed)}")
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


def _worst(a: np.ndarray, n: np.ndarray, wrong: np.ndarray) -> str:
    index = np.unravel_index(np.argmax(np.where(wrong, np.nan_to_num(np.abs(a - n), nan=np.inf), -1)), np.shape(a))
    worst_a, worst_n = np.asarray(a)[index], np.asarray(n)[index]
    ratio = f"{worst_a / worst_n:.6g}" if worst_n else "infinite"
    place = tuple(int(i) for i in index)
    return (
        f"{wrong.sum()} of {wrong.size} elements differ\n"
        f"  worst at {place}: analytic {worst_a:.9g}, numeric {worst_n:.9g}, ratio {ratio}"
    )


def _diagnose(
    func: Function, inputs: Sequence[Any], k: int, wrong: np.ndarray, found: Comparison, eps: float, seed: int
) -> str:
    """Names the known mistakes that explain every element, for two cotangents and at two points."""
    t = checked_inputs(inputs)[k]
    if (wrong <= found.kinks[k]).all():
        index = tuple(map(int, np.argwhere(wrong)[0]))
        right, left = (float(side[index]) for side in slopes(func, inputs, t, found, eps))
        near_right, near_left = (float(side[index]) for side in slopes(func, inputs, t, found, eps / 10))
        # If the function is smooth but strongly curved, the two are ten times closer at a tenth of the distance.
        if not 0.05 < abs(near_right - near_left) / abs(right - left) < 0.2:
            return (
                f"looks like a kink: at {index} the slope is {right:.6g} to the right and {left:.6g} to the left, "
                "so there is no derivative; choose inputs away from it"
            )
    trials = [found, _another_point(func, inputs, eps, seed + 1)]
    twice = analytic_gradients(func, inputs, [2 * c for c in trials[1].cotangents])[k]
    if not np.allclose(twice, 2 * trials[1].analytic[k], atol=1e-12, equal_nan=True):
        return "looks like a missing chain factor dy: backward(2 dy) is not 2 backward(dy)"
    position = next(i for i, other in enumerate(inputs) if other is t)
    guesses = [*_guesses(trials, k, position), *_missing_sum(func, inputs, t, trials[1], k, eps)]
    return f"looks like {', or '.join(guesses)}" if guesses else "no known mistake fits"


def _another_point(func: Function, inputs: Sequence[Any], eps: float, seed: int) -> Comparison:
    """The comparison at inputs a few per cent away, so that a coincidence is not taken for an explanation."""
    rng = np.random.default_rng(seed)
    kept = [(t, t.data) for t in checked_inputs(inputs)]
    for t, data in kept:
        t.data = data * rng.uniform(0.95, 1.05, data.shape)
    try:
        return compare(func, inputs, eps=eps, seed=seed)
    except GradcheckError:  # func is not defined there: another cotangent has to be enough
        for t, data in kept:
            t.data = data
        return compare(func, inputs, eps=eps, seed=seed)


def _guesses(trials: Sequence[Comparison], k: int, position: int) -> Iterator[str]:
    """Names each mistake whose correction turns the analytic gradient into the numeric one."""

    def fits(corrected: Callable[..., Any], *args: Any) -> bool:
        for trial in trials:
            a, n = trial.analytic[k], trial.numeric[k]
            with np.errstate(all="ignore"):
                close = np.abs(corrected(a, n, trial, *args) - n) <= 1e-4 * np.abs(n) + 1e-6 * np.abs(n).max()
            if not (close | trial.kinks[k]).all():
                return False
        return True

    a, n, trial = trials[1].analytic[k], trials[1].numeric[k], trials[1]
    if not np.isfinite(a).all():
        yield "a derivative that is not finite, such as 0 / 0: `with minitx.detect_anomaly():` names the op"
        return
    if not a.any():
        yield "a zero gradient: this input left the graph (.data, .detach()) or its derivative was never filled in"
        return
    unreached, lost = _negligible(n), a == 0
    if unreached.all():
        yield "a mask ignored: the result does not depend on this input at all, and yet it gets a gradient"
    elif (unreached & ~_negligible(a)).any() and fits(lambda a, n, trial: np.where(_negligible(n), 0, a)):
        first = tuple(map(int, np.argwhere(unreached)[0]))
        yield f"a mask ignored: {unreached.sum()} elements, {first} first, do not count in the result but get gradients"
    elif lost.any() and fits(lambda a, n, trial: np.where(a == 0, n, a)):
        yield f"a gradient that does not reach {(lost & ~unreached).sum()} elements; all others are right"
    for i, j in itertools.combinations(range(n.ndim), 2):
        if n.shape[i] == n.shape[j] and fits(lambda a, n, trial, i, j: a.swapaxes(i, j), i, j):
            yield f"a transpose: with axes {i} and {j} swapped it is right"
    slips = [
        name
        for name in _undone(trial, k, position)
        if fits(lambda a, n, trial, name: _undone(trial, k, position)[name], name)
    ]
    ratio = float(np.vdot(a, n) / np.vdot(a, a))
    if ratio and fits(lambda a, n, trial: ratio * a):
        half = math.isclose(ratio, 2, rel_tol=1e-4) and any(name.startswith(HALF) for name in slips)
        yield _name_factor(ratio, n.shape, trial.outputs[0].shape) + f" ({HALF}?)" * half
        return
    yield from slips
    for name in _chain_factors(trial, n.shape):
        if fits(lambda a, n, trial, name: a * _chain_factors(trial, n.shape)[name], name):
            yield f"a missing chain factor: times {name} it is right"


def _negligible(gradient: np.ndarray) -> np.ndarray:
    return np.abs(gradient) <= 1e-7 * np.abs(gradient).max(initial=1e-3)


def _name_factor(ratio: float, shape: tuple[int, ...], result: tuple[int, ...]) -> str:
    """For numeric = ratio * analytic everywhere: which axis has that size? `result` is the shape of func's result."""
    fact, size = f"numeric = {ratio:.6g} analytic everywhere", abs(ratio)
    sign = "a wrong sign" if ratio < 0 else ""
    if math.isclose(size, 1, rel_tol=1e-4):
        return sign
    sign += " and " if sign else ""
    ahead = len(result) - len(shape)
    foreign = {j: m for j, m in enumerate(result) if m > 1 and (j < ahead or shape[j - ahead] != m)}
    for j, m in foreign.items():
        if math.isclose(size, m, rel_tol=1e-4):
            return f"{sign}a missing sum over axis {j} of the result, of size {m} (a mean in its place?): {fact}"
    if len(foreign) > 1 and math.isclose(size, math.prod(foreign.values()), rel_tol=1e-4):
        return f"{sign}a missing sum over axes {tuple(foreign)} of the result (a mean in its place?): {fact}"
    elements, kept = math.prod(shape), max(1, math.prod(result))
    axes = {f"axis {i}": m for i, m in enumerate(shape)} | {"the reduced axes": elements // kept}
    for label, m in axes.items():
        if kept < elements and m > 1 and math.isclose(size * m, 1, rel_tol=1e-4):
            return f"{sign}a missing mean, 1 / {m} for the size of {label}: {fact}"
    return f"{sign}a missing constant factor: {fact}"


def _chain_factors(trial: Comparison, shape: tuple[int, ...]) -> dict[str, np.ndarray]:
    """What an elementwise derivative is often made of: inputs, the result, and simple functions of them."""
    values = {f"input {i}": x for i, x in trial.inputs.items() if x.dtype.kind in "fb"}
    values |= {"the result": trial.outputs[0]} if len(trial.outputs) == 1 else {}
    factors: dict[str, np.ndarray] = {}
    with np.errstate(all="ignore"):
        for name, v in values.items():
            if v.ndim <= len(shape) and all(m in (1, n) for m, n in zip(v.shape[::-1], shape[::-1], strict=False)):
                v = v.astype(np.float64)
                factors |= {name: v, f"1 / {name}": 1 / v, f"{name} squared": v * v, f"(1 - {name} squared)": 1 - v * v}
    return factors


def _undone(trial: Comparison, k: int, position: int) -> dict[str, np.ndarray]:
    """The classic slips of one-argument ops: what the analytic gradient would be with each of them undone."""
    x, y, c = trial.inputs[position], trial.outputs[0], trial.cotangents[0]
    a, n = trial.analytic[k], trial.numeric[k]
    if x.shape != y.shape or len(trial.outputs) > 1:
        return {}
    undone: dict[str, np.ndarray] = {}
    with np.errstate(all="ignore"):
        for power, factor in ((1, f"input {position}"), (2, f"input {position} squared")):
            part = power * c * y / x  # of y = x^power g(x), the part in which only x^power varies
            undone[f"{HALF}: the part in which the factor {factor} varies is missing"] = a + part
            undone[f"{HALF}: only the part in which the factor {factor} varies is there"] = n + a - part
        if x.ndim:
            centred = x - x.mean(axis=-1, keepdims=True)
            variance, by_mean = (centred**2).mean(axis=-1, keepdims=True), a.mean(axis=-1, keepdims=True)
            hats = [centred / np.sqrt(variance + eps) for eps in (0, 1e-12, 1e-6, 1e-5)]  # which eps it is, is unknown
            parts = [hat * (a * hat).mean(axis=-1, keepdims=True) for hat in hats]
            by_variance = min(parts, key=lambda part: float(np.abs(a - by_mean - part - n).max()))
            constants = "the variance" if np.allclose(by_mean, 0, atol=1e-9) else "mean and variance"
            sums = [np.abs((n * by).mean(axis=-1)).max() for by in (1.0, hats[0])]  # both 0 for a layer norm
            if max(sums) < 1e-3 * np.abs(n).max():
                undone[f"layer norm's gradient with {constants} held constant"] = a - by_mean - by_variance
                undone["layer norm's gradient with the mean held constant, or its part wrong"] = a - by_mean
            if (y >= 0).all() and np.allclose(y.sum(axis=-1), 1):
                row = (c * y).sum(axis=-1, keepdims=True)
                undone["softmax's gradient with the diagonal only, dy y (1 - y)"] = a - y * (row - c * y)
                undone["softmax's gradient with the sum held constant, dy y"] = a - y * row
    return undone


def _missing_sum(
    func: Function, inputs: Sequence[Any], t: Tensor, trial: Comparison, k: int, eps: float
) -> Iterator[str]:
    """Whether only one slice of a broadcast axis arrives, found by stretching the input to the result's shape."""
    x, y = t.data, trial.outputs[0]
    if x.shape == y.shape or len(trial.outputs) > 1:
        return
    try:
        t.data = np.broadcast_to(x, y.shape).copy()
        with no_grad():
            outputs = func(*inputs)
            if not isinstance(outputs, Tensor) or not np.array_equal(outputs.data, y):
                return
            each = slopes(func, inputs, t, trial, eps).mean(axis=0)
    except (ValueError, IndexError, TypeError):  # not an op that would broadcast
        return
    finally:
        t.data = x
    ahead = y.ndim - x.ndim
    stretched = [j for j, m in enumerate(y.shape) if m > 1 and (j < ahead or x.shape[j - ahead] != m)]
    for j in stretched:
        others = each.sum(axis=tuple(i for i in stretched if i != j), keepdims=True)
        for place in (0, -1):
            if np.allclose(others.take(place, axis=j).reshape(x.shape), trial.analytic[k], rtol=1e-4, atol=1e-8):
                yield f"a missing sum over axis {j} of the result, of size {y.shape[j]}: only element {place} arrives"
