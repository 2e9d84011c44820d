"""torch's own samples of its operators, put to minitx's.  `pip install expecttest && python -m benchmarks.operators`

torch tests each of its operators on samples that it makes itself (`op_db`): odd shapes, broadcasting, empty and 0-d
tensors, negative and repeated axes, infinities. Every sample of an operator that minitx has is run here and there, in
float64: values and the gradients of everything that is differentiable must be equal, with random cotangents.

A sample is left out only if it asks for what minitx does not offer under that name (an argument such as `dtype=`,
complex numbers, torch's own fill values); the table says how many. Exit code 1 if one differs, or if minitx
refuses a sample that it takes by its own documentation.
"""

import sys
import warnings
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from minitx.autograd import functional as F, losses, tensor
from minitx.autograd.tensor import Tensor


class NotOffered(Exception):
    """What this sample asks for is not offered under this name."""


def only(call: Callable[..., Any], *names: str) -> Callable[..., Any]:
    """`call`, for samples whose keyword arguments are among these names."""

    def run(*args: Any, **options: Any) -> Any:
        if unknown := {name for name, value in options.items() if value is not None} - {*names}:
            raise NotOffered(", ".join(sorted(unknown)))
        return call(*args, **{name: value for name, value in options.items() if name in names})

    return run


def on_tensors(call: Callable[..., Any]) -> Callable[..., Any]:
    """`call`, where the first argument is a Tensor, as it must be for a method."""

    def run(first: Any, *rest: Any, **options: Any) -> Any:
        if not isinstance(first, Tensor):
            raise NotOffered("a number in place of the tensor")
        return call(first, *rest, **options)

    return run


def numbers_beside(call: Callable[..., Any]) -> Callable[..., Any]:
    """`call`, for samples whose other arguments are numbers, or tensors of booleans."""

    def run(x: Tensor, *rest: Any, **options: Any) -> Any:
        if any(isinstance(value, Tensor) and value.dtype != bool for value in (*rest, *options.values())):
            raise NotOffered("a tensor in place of a number")
        if call is Tensor.transpose and not x.ndim:
            raise NotOffered("axes of a number")
        return call(x, *rest, **options)

    return run


def scaled(sign: int) -> Callable[..., Any]:
    return lambda x, y, alpha=1: x + (y * (sign * alpha) if alpha != 1 else y * sign)


def index(x: Tensor, key: Any) -> Tensor:
    return x[key]


def reduction(name: str) -> Callable[..., Any]:
    return only(
        on_tensors(lambda x, *dim, **o: getattr(x, name)(*map(axes, dim), **{k: axes(v) for k, v in o.items()})),
        "dim",
        "keepdim",
        "correction",
    )


def axes(value: Any) -> Any:
    return tuple(value) if isinstance(value, list | torch.Size) else value


def dispersion(name: str) -> Callable[..., Any]:
    def run(x: Tensor, *dim: Any, **options: Any) -> Tensor:
        if (
            any(isinstance(value, bool) for value in dim)
            or "unbiased" in options
            or options.get("correction", 1) is None
        ):
            raise NotOffered("unbiased, correction=None")
        return reduction(name)(x, *dim, **options)

    return run


def attention(
    q: Tensor, k: Tensor, v: Tensor, attn_mask: Any = None, is_causal: bool = False, **options: Any
) -> Tensor:
    """torch's (..., H, T, K), as minitx's (B, T, D)."""
    if options.get("dropout_p") or options.get("scale") or options.get("enable_gqa") or q.ndim != 4:
        raise NotOffered("dropout, scale, grouped queries, or other than four axes")
    if k.shape[1] != q.shape[1] or v.shape[-1] != q.shape[-1]:
        raise NotOffered("keys and values of another width")
    mask = bias = None
    if attn_mask is not None:
        mask = np.broadcast_to(attn_mask.data, (len(q), *attn_mask.shape[-3:-2], q.shape[2], k.shape[2]))
        if mask.dtype != bool or mask.ndim == 4:
            raise NotOffered("a mask that is added, or one for each head")
        if not mask.any(-1).all():
            raise NotOffered("nothing to see: 0 here, NaN there")
    side = [x.transpose(1, 2).flatten(2) for x in (q, k, v)]
    y = F.attention(*side, q.shape[1], mask, bias, is_causal=is_causal)
    return y.reshape(y.shape[0], y.shape[1], q.shape[1], -1).transpose(1, 2)


def layer_norm(x: Tensor, shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Tensor:
    """torch's over the last axes of that shape, as minitx's over the last one."""
    D = int(np.prod(shape))
    w = Tensor(np.ones(D)) if weight is None else weight.flatten()
    b = Tensor(np.zeros(D)) if bias is None else bias.flatten()
    return F.layer_norm(x.reshape(*x.shape[: x.ndim - len(shape)], D), w, b, eps).reshape(*x.shape)


def cross_entropy(logits: Tensor, target: Any, weight: Any = None, **options: Any) -> Tensor:
    """torch's (C,) and (N, C, d1, d2, ...), as minitx's (N, C)."""
    if target.requires_grad:
        raise NotOffered("a target that requires a gradient")
    target = target.data
    of_rows = target.shape == logits.shape
    if logits.ndim == 1:
        logits, target = logits.unsqueeze(0), target[None]
    if logits.ndim > 2:
        last = (0, *range(2, logits.ndim), 1)
        target = target.transpose(last).reshape(-1, logits.shape[1]) if of_rows else target.reshape(-1)
        logits = logits.permute(last).reshape(-1, logits.shape[1])
    if not np.any(target != options.get("ignore_index", -100)):
        raise NotOffered("no row left: 0 here, NaN there")
    return only(F.cross_entropy, "ignore_index", "label_smoothing", "weight")(
        logits, target, weight=None if weight is None else weight.data, **mean_of(options)
    )


def mean_of(options: Mapping[str, Any]) -> dict[str, Any]:
    if options.get("reduction", "mean") != "mean":
        raise NotOffered("reduction")
    return {name: value for name, value in options.items() if name != "reduction"}


def gelu(x: Tensor, approximate: str = "none") -> Tensor:
    if approximate != "none":
        raise NotOffered("approximate")
    return F.gelu(x)


def softmax(call: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return only(lambda x, dim=-1: call(x, dim), "dim")


def cat(parts: list[Tensor], dim: int = 0) -> Tensor:
    if any(part.ndim != parts[-1].ndim for part in parts):
        raise NotOffered("an empty tensor of one axis among others")
    return tensor.cat(parts, dim)


def normalize(x: Tensor, p: float = 2.0, dim: int = 1, eps: float = 1e-12) -> Tensor:
    if p != 2:
        raise NotOffered("other norms")
    return F.normalize(x.transpose(dim, -1), eps).transpose(dim, -1) if x.ndim else F.normalize(x.unsqueeze(0), eps)


def division(x: Any, y: Any) -> Any:
    return x / y


METHODS = ("exp", "log", "sqrt", "tanh", "abs", "sigmoid", "clone", "flatten", "masked_fill", "expand", "clamp")
SHAPES = ("reshape", "permute", "transpose", "unsqueeze", "squeeze")
REDUCTIONS = {"sum": "sum", "mean": "mean", "amax": "max", "amin": "min", "argmax": "argmax"}
COMPARISONS = {name: f"__{name}__" for name in ("eq", "ne", "lt", "le", "gt", "ge")}
# torch's name of an operator -> minitx's
TWINS: dict[str, Callable[..., Any]] = {
    "add": only(scaled(1), "alpha"),
    "sub": only(scaled(-1), "alpha"),
    "mul": lambda x, y: x * y,
    "div": only(division),
    "true_divide": only(division),
    "pow": lambda x, y: x**y,
    "__radd__": lambda x, y: y + x,
    "__rsub__": lambda x, y: y - x,
    "rsub": only(lambda x, y: y - x),
    "__rmul__": lambda x, y: y * x,
    "__rdiv__": lambda x, y: y / x,
    "__rpow__": lambda x, y: y**x,
    "__rmatmul__": lambda x, y: y @ x,
    "neg": lambda x: -x,
    **{name: lambda x, y: x @ y for name in ("matmul", "mm", "bmm", "mv", "dot", "__matmul__")},
    **{
        name: only(on_tensors(numbers_beside(getattr(Tensor, name))), "min", "max", "start_dim", "end_dim")
        for name in METHODS
    },
    **{name: on_tensors(numbers_beside(getattr(Tensor, name))) for name in SHAPES},
    "view": on_tensors(lambda x, *sizes: x.reshape(*sizes)),
    **{name: reduction(ours) for name, ours in REDUCTIONS.items()},
    **{name: dispersion(name) for name in ("std", "var")},
    **{name: on_tensors(getattr(Tensor, ours)) for name, ours in COMPARISONS.items()},
    "__getitem__": index,
    "cat": only(cat, "dim"),
    "stack": only(lambda parts, dim=0: tensor.stack(parts, dim), "dim"),
    "where": lambda x, condition, y: tensor.where(condition.data, x, y),
    "nn.functional.linear": F.linear,
    "nn.functional.relu": only(F.relu),
    "nn.functional.gelu": gelu,
    "softmax": softmax(F.softmax),
    "log_softmax": softmax(F.log_softmax),
    "nn.functional.layer_norm": layer_norm,
    "nn.functional.embedding": only(lambda w, ids: F.embedding(ids.data, w)),
    "nn.functional.scaled_dot_product_attention": attention,
    "nn.functional.normalize": normalize,
    "nn.functional.cross_entropy": cross_entropy,
    "nn.functional.mse_loss": lambda x, y, **o: only(losses.mse_loss)(x, y, **mean_of(o)),
    "nn.functional.binary_cross_entropy_with_logits": lambda x, y, **o: only(
        losses.binary_cross_entropy_with_logits, "weight", "pos_weight"
    )(x, y, **mean_of(o)),
}
# torch's names for variants that differ in arguments which minitx does not have.
VARIANTS = {"no_rounding_mode", "with_dtype", "unbiased", ""}


def ours(value: Any) -> Any:
    """A sample's argument as minitx takes it: tensors as Tensors, also within lists."""
    if isinstance(value, torch.Tensor):
        return Tensor(value.detach().numpy().copy(), requires_grad=value.requires_grad)
    if isinstance(value, tuple | list) and not isinstance(value, torch.Size):
        return type(value)(map(ours, value))
    return value


def leaves(value: Any) -> list[Any]:
    """The tensors among arguments that require a gradient, in order."""
    if isinstance(value, tuple | list):
        return [leaf for part in value for leaf in leaves(part)]
    return [value] if isinstance(value, torch.Tensor | Tensor) and value.requires_grad else []


def compare(op: Any, sample: Any, rng: np.random.Generator) -> str | None:
    """What differs, or None."""
    theirs = op(sample.input, *sample.args, **sample.kwargs)
    given = ours((sample.input, *sample.args, *sample.kwargs.values()))
    names = list(sample.kwargs)
    arguments, options = (
        given[: len(given) - len(names)],
        dict(zip(names, given[len(given) - len(names) :], strict=True)),
    )
    y = TWINS[op.name](*arguments, **options)
    value = y.data if isinstance(y, Tensor) else np.asarray(y)
    expected = theirs.detach().numpy()
    if value.shape != expected.shape or not np.allclose(value, expected, rtol=1e-9, atol=1e-10, equal_nan=True):
        return f"value {value.shape}, expected {expected.shape}"
    if not (theirs.requires_grad and isinstance(y, Tensor)):
        return "no gradient" if theirs.requires_grad else None
    dy = rng.normal(size=expected.shape)
    there = leaves((sample.input, *sample.args, *sample.kwargs.values()))
    gradients = torch.autograd.grad(theirs, there, torch.as_tensor(dy).reshape(theirs.shape), allow_unused=True)
    y.backward(dy)
    for number, (leaf, gradient) in enumerate(zip(leaves(given), gradients, strict=True)):
        found = np.zeros(leaf.shape) if leaf.grad is None else np.asarray(leaf.grad)
        right = np.zeros(leaf.shape) if gradient is None else gradient.numpy()
        if not np.allclose(found, right, rtol=1e-8, atol=1e-9, equal_nan=True):
            return f"gradient {number}"
    return None


def main() -> int:
    warnings.simplefilter("ignore")
    from torch.testing._internal.common_methods_invocations import op_db  # noqa: PLC0415 - seconds, and expecttest

    total: Counter[str] = Counter()
    found = []
    print(f"{'operator':48} {'equal':>6} {'left out':>9} {'wrong':>6}")
    for op in op_db:
        if op.name not in TWINS or op.variant_test_name not in VARIANTS:
            continue
        differs = torch.float64 in op.dtypes and op.supports_autograd
        count, rng, reasons = Counter[str](), np.random.default_rng(0), Counter[str]()
        torch.manual_seed(0)
        for sample in op.sample_inputs("cpu", torch.float64, requires_grad=differs):
            try:
                with np.errstate(all="ignore"):
                    wrong = compare(op, sample, rng)
            except NotOffered as reason:
                count["left out"] += 1
                reasons[str(reason)] += 1
                continue
            except Exception as error:
                wrong = f"{type(error).__name__}: {error}"
            count["wrong" if wrong else "equal"] += 1
            if wrong:
                found.append(f"{op.name}: {wrong:.120}: {sample.summary()!s:.300}")
        total += count
        note = "; ".join(reasons)
        print(f"{op.name:48} {count['equal']:6} {count['left out']:9} {count['wrong']:6}  {note}")
    print(f"{'together':48} {total['equal']:6} {total['left out']:9} {total['wrong']:6}")
    print("\n".join(found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
