"""SGD, Adam and AdamW: how a gradient moves a weight. And clipping.

Parameters come in groups, each with settings of its own, as in torch:

    AdamW([
        {"params": model.encoder.parameters(), "lr": 3e-5, "name": "encoder"},
        {"params": model.heads["sentiment"].parameters(), "lr": 3e-4, "name": "sentiment"},
        {"params": model.heads["engagement"].parameters(), "frozen": True},
    ])

Groups and state are `Optimizer`'s, in `groups`; how a step is spread over the cores is in `blocks`.
"""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from minitx.autograd.rows import RowGradient
from minitx.nn.module import Parameter
from minitx.training.blocks import Map, spread
from minitx.training.groups import Group, Optimizer


class SGD(Optimizer):
    """Stochastic gradient descent: g = grad + weight_decay x ;  v = momentum v + g ;  x -= lr v.

    Torch: `torch.optim.SGD`.
    """

    def __init__(
        self, params: Iterable[Any], lr: float = 1e-3, momentum: float = 0.0, weight_decay: float = 0.0
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    def update(self, step: int, group: Group, x: np.ndarray, g: np.ndarray, *buffers: np.ndarray) -> None:
        """See `Optimizer.update`."""
        if group["weight_decay"]:
            g = g + group["weight_decay"] * x
        for v in buffers:
            v *= group["momentum"]
            v += g
            g = v
        x -= group["lr"] * g

    def initial_state(self, parameter: Parameter, group: Group) -> dict[str, Any]:
        """v, if there is momentum."""
        return {"momentum_buffer": np.zeros_like(parameter.data)} if group["momentum"] else {}


class Adam(Optimizer):
    """Steps of about `lr` in every coordinate, whatever the size of its gradients.

        m = b1 m + (1 - b1) g        a running mean of the gradient, and
        v = b2 v + (1 - b2) g²       of its square; both start at 0, which the divisions by 1 - b^t make up for
        x -= lr (m / (1 - b1^t)) / (√(v / (1 - b2^t)) + eps)

    Kingma & Ba 2015, algorithm 1. Here `weight_decay` is added to the gradient, g = grad + weight_decay x, and
    so is rescaled with it; `AdamW` is usually what is meant. It is 0 if not given. Torch: `torch.optim.Adam`.
    """

    default_weight_decay = 0.0

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float | None = None,
    ) -> None:
        decay = self.default_weight_decay if weight_decay is None else weight_decay
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": decay})

    def update(self, step: int, group: Group, x: np.ndarray, g: np.ndarray, *buffers: np.ndarray) -> None:
        """See `Optimizer.update`."""
        (m, v), (b1, b2), lr = buffers, group["betas"], group["lr"]
        if group["weight_decay"] and not self.decoupled_weight_decay:
            g = g + group["weight_decay"] * x
        m *= b1
        m += (1 - b1) * g
        v *= b2
        v += (1 - b2) * np.square(g)
        move = np.sqrt(v)
        move *= 1 / math.sqrt(1 - b2**step)
        move += group["eps"]
        np.divide(m, move, out=move)
        move *= lr / (1 - b1**step)
        x -= move

    def initial_state(self, parameter: Parameter, group: Group) -> dict[str, Any]:
        """t, m and v, under torch's names."""
        return {"step": 0, "exp_avg": np.zeros_like(parameter.data), "exp_avg_sq": np.zeros_like(parameter.data)}


class AdamW(Adam):
    """Adam whose weight decay acts on the weights themselves, x *= 1 - lr weight_decay, before each step.

    Loshchilov & Hutter 2019, algorithm 2. `weight_decay` is 0.01 if not given. Torch: `torch.optim.AdamW`.
    """

    default_weight_decay, decoupled_weight_decay = 1e-2, True


def clip_grad_norm_(parameters: Iterable[Parameter], max_norm: float, run: Map = map) -> float:
    """Scale all gradients together so that their joint length is at most `max_norm`; returns it before scaling.

    Frozen parameters do not count; `run` as in `Optimizer.step`. Pascanu et al. 2013. Torch:
    `torch.nn.utils.clip_grad_norm_`.
    """
    if not max_norm > 0:
        raise ValueError(f"max_norm must be greater than 0, not {max_norm}")
    grads = []
    for p in parameters:
        if p.grad is not None and p.requires_grad:
            if isinstance(p.grad, RowGradient):
                p.grad = p.grad.coalesce()
            grads.append(p.grad.values if isinstance(p.grad, RowGradient) else p.grad)
    norm = math.sqrt(sum(spread(run, lambda g: float(np.vdot(g, g)), grads)))
    if max_norm < norm < math.inf:  # what is infinite is left as it is, for its owner to find
        share = max_norm / (norm + 1e-6)
        spread(run, lambda g: np.multiply(g, share, out=g), grads)
    return norm
