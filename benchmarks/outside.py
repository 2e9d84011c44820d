"""The test suites of two other autograd engines, run on minitx's.  `python -m benchmarks.outside DIRECTORY ...`

Each DIRECTORY is the unpacked source of HIPS autograd or of micrograd, whose tests come with it:

    pip download --no-deps --no-binary :all: autograd==1.9.1 micrograd==0.1.0 && tar xzf ... && tar xzf ...

Their tests are run as they are; what they import is replaced. For HIPS, `autograd.numpy` hands NumPy's functions to
minitx's ops wherever a Tensor is among the arguments, and `check_grads` holds the value to NumPy's and the first
derivative to central differences, in float64. For micrograd, `Value` is a Tensor of one number with `relu`. A check is
left out that needs what minitx does not have (sine, complex numbers, second derivatives), and the table says how often;
it is refused if minitx raises an error, or the replacement does. Exit code 1 if one is wrong.
"""

import argparse
import importlib
import itertools
import sys
import types
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minitx.autograd import functional as F, tensor
from minitx.autograd.tensor import Tensor
from minitx.learn.gradcheck import gradcheck
from minitx.learn.numeric import GradcheckError

RESULTS: Counter[str] = Counter()
WRONG: list[str] = []
REASONS: Counter[str] = Counter()
CHECKING: list[str] = []  # what is being checked


class NotOffered(Exception):
    """minitx has no such function, or not for these arguments."""


# -- HIPS autograd ---------------------------------------------------------------------------------------------


def axis(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def reduced(name: str) -> Callable[..., Tensor]:
    def call(x: Tensor, axis: Any = None, keepdims: bool = False, ddof: int | None = None) -> Tensor:
        options = {"correction": ddof or 0} if name in ("std", "var") else {}
        return getattr(x, name)(axis, keepdim=keepdims, **options)

    return call


def dot(x: Any, w: Any) -> Any:
    if not np.ndim(x) or not np.ndim(w):
        return x * w
    if max(np.ndim(x), np.ndim(w)) > 2:
        raise NotOffered("dot of more than two axes")
    return x @ w


def split_of(x: Tensor, order: Any = "C") -> Tensor:
    if order != "C":
        raise NotOffered(f"order {order}")
    return x.flatten()


def concatenate(parts: Any, axis: Any = 0) -> Tensor:
    parts = [part if isinstance(part, Tensor) else Tensor(np.asarray(part, float)) for part in parts]
    return tensor.cat(parts, axis)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    **{name: reduced(name) for name in ("sum", "mean", "max", "min", "var", "std")},
    "amax": reduced("max"),
    "amin": reduced("min"),
    **{name: getattr(Tensor, name) for name in ("exp", "log", "sqrt", "tanh", "abs")},
    **dict.fromkeys(("absolute", "fabs"), Tensor.abs),
    "negative": lambda x: -x,
    "add": lambda x, w: x + w,
    "subtract": lambda x, w: x - w,
    "multiply": lambda x, w: x * w,
    "divide": lambda x, w: x / w,
    "true_divide": lambda x, w: x / w,
    "power": lambda x, w: x**w,
    "square": lambda x: x**2,
    "reciprocal": lambda x: 1 / x,
    "matmul": lambda x, w: x @ w,
    "dot": dot,
    "reshape": lambda x, shape: x.reshape(*np.atleast_1d(shape).tolist()),
    "ravel": split_of,
    "transpose": lambda x, axes=None: x.permute(*(range(x.ndim)[::-1] if axes is None else axes)),
    "swapaxes": lambda x, axis1, axis2: x.transpose(axis1, axis2),
    "expand_dims": lambda x, axis: x.unsqueeze(axis),
    "squeeze": lambda x, axis=None: x.squeeze(axis),
    "concatenate": concatenate,
    "stack": lambda parts, axis=0: tensor.stack(list(parts), axis),
    "where": tensor.where,
    "clip": lambda x, a_min, a_max: x.clamp(a_min, a_max),
    "broadcast_to": lambda x, shape: x.expand(*shape),
}


def has_tensor(value: Any) -> bool:
    return isinstance(value, Tensor) or (isinstance(value, tuple | list) and any(map(has_tensor, value)))


class Numpy(types.ModuleType):
    """`autograd.numpy`: NumPy, but minitx where a Tensor is among the arguments."""

    def __getattr__(self, name: str) -> Any:
        if name in ("linalg", "fft"):
            return Stub(name)
        if not callable(real := getattr(np, name)) or isinstance(real, type):
            return real

        def call(*args: Any, **options: Any) -> Any:
            if not has_tensor([*args, *options.values()]):
                return real(*args, **options)
            if name not in FUNCTIONS:
                raise NotOffered(name)
            if name == "clip" and has_tensor([*args[1:], *options.values()]):
                raise NotOffered("clip to tensors")
            options = {key: axis(value) for key, value in options.items()}
            return FUNCTIONS[name](*args, **options)

        call.__name__ = name
        return call


def check_grads(fun: Callable[..., Any], argnum: Any = 0, **_: Any) -> Callable[..., None]:
    def check(*args: Any, **options: Any) -> None:
        RESULTS[judged(fun, argnum, args, options)] += 1

    return check


def judged(fun: Callable[..., Any], argnum: Any, args: tuple[Any, ...], options: dict[str, Any]) -> str:
    where = f"{getattr(fun, '__name__', fun)} {[np.shape(arg) for arg in args]} {options or ''}"
    numbers = [np.asarray(arg) if isinstance(arg, float | np.ndarray | np.generic) else None for arg in args]
    if any(number is None or number.dtype != np.float64 for number in numbers):
        REASONS["other than real numbers"] += 1
        return "left out"
    tensors = [Tensor(number.copy(), requires_grad=True) for number in numbers if number is not None]
    CHECKING.append(where)
    try:
        with np.errstate(all="ignore"):
            y = fun(*tensors, **options)
            if not isinstance(y, Tensor):
                raise NotOffered("no Tensor comes back")
            right = np.asarray(fun(*args, **options))
            if y.shape != right.shape or not np.allclose(y.data, right, rtol=1e-10, atol=1e-12, equal_nan=True):
                raise GradcheckError(f"value {y.shape}, NumPy's {right.shape}")
            gradcheck(lambda *x: fun(*x, **options), tensors)
    except NotOffered as reason:
        REASONS[str(reason)] += 1
        return "left out"
    except GradcheckError as error:
        WRONG.append(f"{where}: {error}")
        return "wrong"
    except Exception as error:
        if "unsupported operand" in str(error):
            REASONS["%, //"] += 1
            return "left out"
        REASONS[f"refused: {where}: {error}"] += 1
        return "refused"
    finally:
        CHECKING.pop()
    return "equal"


def combo_check(fun: Callable[..., Any], *_: Any, **__: Any) -> Callable[..., None]:
    def check(*args: Any, **options: Any) -> None:
        for values in itertools.product(*args):
            for chosen in itertools.product(*options.values()):
                check_grads(fun)(*values, **dict(zip(options, chosen, strict=True)))

    return check


def not_offered(name: str) -> Callable[..., Any]:
    def call(*_: Any, **__: Any) -> Any:
        raise NotOffered(name)

    return call


def grad(fun: Callable[..., Any], argnum: int = 0) -> Callable[..., np.ndarray]:
    def gradient(*args: Any) -> np.ndarray:
        real = isinstance(args[argnum], float | np.ndarray) and not np.iscomplexobj(args[argnum])
        if CHECKING or has_tensor(args) or not real:
            raise NotOffered("second derivatives, and of other than real numbers")
        x = Tensor(np.asarray(args[argnum], float).copy(), requires_grad=True)
        y = fun(*args[:argnum], x, *args[argnum + 1 :])
        if isinstance(y, Tensor) and y.requires_grad:
            y.backward()
        return np.zeros(x.shape) if x.grad is None else np.asarray(x.grad)

    return gradient


class Stub(types.ModuleType):
    """Any name is a function that is not offered."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return not_offered(name)


def install_hips() -> None:
    root = Stub("autograd")
    root.grad, root.numpy = grad, Numpy("autograd.numpy")
    util = Stub("autograd.test_util")
    util.check_grads, util.combo_check = check_grads, combo_check
    sys.modules |= {"autograd": root, "autograd.numpy": root.numpy, "autograd.test_util": util}
    sys.modules["autograd.numpy.random"] = np.random
    for name in ("core", "extend", "tracer", "misc", "builtins", "util", "wrap_util"):
        sys.modules[f"autograd.{name}"] = Stub(f"autograd.{name}")


# -- micrograd -------------------------------------------------------------------------------------------------


class Value(Tensor):
    """micrograd's: one number, with `relu`; what ops make of it is one too."""

    def __init__(self, data: Any) -> None:
        super().__init__(np.float64(data), requires_grad=True)


def install_micrograd() -> None:
    Tensor.relu = F.relu
    engine = types.ModuleType("micrograd.engine")
    engine.Value = Value
    sys.modules |= {"micrograd": types.ModuleType("micrograd"), "micrograd.engine": engine}


# -- running -----------------------------------------------------------------------------------------------------


def run_test(name: str, test: Callable[[], None]) -> None:
    before = RESULTS.total()
    np.random.seed(42)  # noqa: NPY002 - as their conftest.py
    try:
        test()
    except (NotOffered, pytest.fail.Exception) as reason:  # the latter: what must fail there, and is not offered here
        REASONS[str(reason)] += 1
        RESULTS["left out"] += 1
    except AssertionError as error:
        WRONG.append(f"{name}: {error}")
        RESULTS["wrong"] += 1
    except Exception as error:
        REASONS[f"refused: {name}: {type(error).__name__}: {error}"] += 1
        RESULTS["refused"] += 1
    else:
        RESULTS["equal"] += RESULTS.total() == before  # a test that asserts by itself


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directories", nargs="+", type=Path, metavar="DIRECTORY")
    parser.add_argument("--reasons", action="store_true", help="why checks were left out or refused")
    a = parser.parse_args()
    warnings.simplefilter("ignore")
    install_hips()
    install_micrograd()
    print(f"{'file':40} {'equal':>6} {'left out':>9} {'refused':>8} {'wrong':>6}")
    total: Counter[str] = Counter()
    for directory in a.directories:
        files = sorted(directory.glob("test*/test_*.py"))
        if not files:
            parser.error(f"{directory} holds no test*/test_*.py")
        sys.path.insert(0, str(files[0].parent))
        for file in files:
            RESULTS.clear()
            try:
                module = importlib.import_module(file.stem)
            except (ImportError, NotOffered, AttributeError, TypeError) as error:
                REASONS[f"{file.name}: {error}"] += 1
                continue
            for name, test in vars(module).items():
                if name.startswith("test") and callable(test) and getattr(test, "__module__", "") == file.stem:
                    run_test(f"{file.name}::{name}", test)
            total += RESULTS
            row = [RESULTS[kind] for kind in ("equal", "left out", "refused", "wrong")]
            print(f"{file.name:40} {row[0]:6} {row[1]:9} {row[2]:8} {row[3]:6}")
    row = [total[kind] for kind in ("equal", "left out", "refused", "wrong")]
    print(f"{'together':40} {row[0]:6} {row[1]:9} {row[2]:8} {row[3]:6}")
    if a.reasons:
        print("\n".join(f"{count:5}  {reason:.200}" for reason, count in REASONS.most_common()))
    print("\n".join(WRONG))
    return 1 if WRONG else 0


if __name__ == "__main__":
    sys.exit(main())
