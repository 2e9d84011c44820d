"""The picture of a plan: who will train, when, and how fast."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from minitx.training.thawing import Plan


def timeline(plan: Plan, path: Path) -> None:
    """Layer by step, coloured by the rate the plan will set; hatched where a layer is frozen.

    Drawn from the plan that training obeys. A layer whose parameters have several rates shows the highest, and one of
    which only a part trains says how much. At its right edge stands the highest rate a layer ever gets: colours do not
    tell 5 % from each other.
    """
    # As many columns as can be told apart; among them the steps at which something changes, and each stage's fastest.
    peaks = [max(range(*stage), key=plan.factor) for stage in pairwise([*plan.starts, plan.total_steps])]
    steps = sorted({*np.linspace(0, plan.total_steps, 400, endpoint=False).astype(int).tolist(), *plan.starts, *peaks})
    rows, rates, shares = by_layer(plan, steps)
    epochs = np.array([*steps, plan.total_steps]) / plan.steps_per_epoch
    figure = Figure(figsize=(10, 0.34 * len(rows) + 1.6), layout="constrained")
    axes = figure.add_subplot()
    # The ends of warmup and decay are 0, for which a logarithmic scale has no colour: they get its lowest.
    peak = max(rates.max(), 1e-12)
    low = min(rates.max(axis=1, where=rates > 0, initial=0)[rates.any(axis=1)], default=peak) / 30
    shown = np.ma.masked_where(shares == 0, np.maximum(rates, low))
    colours = axes.pcolormesh(epochs, np.arange(len(rows) + 1), shown, norm=LogNorm(low, peak * 1.001))
    for row, (layer_shares, highest) in enumerate(zip(shares, rates.max(axis=1), strict=True)):
        changes = np.flatnonzero(np.diff(layer_shares, prepend=np.nan, append=np.nan) != 0)
        for first, last in pairwise(changes):
            start, width = epochs[first], epochs[last] - epochs[first]
            if layer_shares[first] == 0:
                axes.barh(row, width, 1, start, align="edge", color="#eee", edgecolor="#999", hatch="////", linewidth=0)
            elif layer_shares[first] < 1:
                note = f"{layer_shares[first]:.0%} of it trains"
                axes.text(start + width / 2, row + 0.5, note, ha="center", va="center", fontsize=8, color="white")
        if highest > 0:
            axes.text(1.01, row + 0.5, f"{highest:.2e}", transform=axes.get_yaxis_transform(), va="center", fontsize=8)
    for start in plan.starts[1:]:
        axes.axvline(start / plan.steps_per_epoch, color="black", linewidth=0.8, linestyle=":")
    axes.set_yticks(np.arange(len(rows)) + 0.5, rows)
    axes.set(xlim=(0, epochs[-1]), ylim=(0, len(rows)), xlabel=f"epoch ({plan.steps_per_epoch:,} steps each)")
    axes.set_title("the plan: learning rate of each layer; hatched where it is frozen; right: its highest", fontsize=10)
    if rates.any():
        figure.colorbar(colours, ax=axes, label="learning rate")
    figure.savefig(path, dpi=120)


def by_layer(plan: Plan, steps: Sequence[int]) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Layers, their rates (layers, steps), and the shares of their weights that train, likewise.

    Of several rates in a layer the highest counts.
    """
    groups = plan.optimizer.param_groups
    label = [str(group.get("layer", group.get("name", i))) for i, group in enumerate(groups)]
    layers = list(dict.fromkeys(label))
    own, rates, shares = set(plan.own), np.zeros((len(layers), len(steps))), np.zeros((len(layers), len(steps)))
    for column, step in enumerate(steps):
        at, trains = plan.at(step)
        for group, layer, rate in zip(groups, label, at, strict=True):
            row, training = layers.index(layer), [p.size for p in group["params"] if p in trains or p not in own]
            shares[row, column] += sum(training)
            rates[row, column] = max(rates[row, column], rate if training else 0.0)
    sizes = np.bincount([layers.index(layer) for layer in label], [sum(p.size for p in g["params"]) for g in groups])
    return layers, rates, shares / sizes[:, None]
