"""What does the optimizer do to each parameter? A table to read before training."""

from dataclasses import dataclass
from typing import NamedTuple

from minitx.nn.module import Module
from minitx.training.groups import Optimizer


class ReportRow(NamedTuple):
    """One parameter, as the optimizer sees it."""

    name: str
    shape: tuple[int, ...]
    group: str  # "-" for a parameter in no group: nothing trains it
    rate: float
    decay: float
    frozen: bool


@dataclass(frozen=True)
class TrainableReport:
    """Every parameter of a model; `str()` is a table with the share of them that trains."""

    rows: list[ReportRow]
    trainable: int  # weights, not arrays
    total: int

    def __str__(self) -> str:
        width = max(len(row.name) for row in self.rows)
        columns = max(len(row.group) for row in self.rows)
        lines = [f"{'parameter':{width}}  {'shape':>13}  {'group':{columns}}  {'rate':>8}  {'decay':>6}"]
        for row in self.rows:
            shape = " x ".join(map(str, row.shape))
            rate, decay = ("frozen", "") if row.frozen else (f"{row.rate:.2e}", f"{row.decay:g}")
            lines.append(f"{row.name:{width}}  {shape:>13}  {row.group:{columns}}  {rate:>8}  {decay:>6}".rstrip())
        return "\n".join([*lines, self.summary()])

    def summary(self) -> str:
        """One line: how many weights train."""
        return f"{self.trainable:,} of {self.total:,} weights train ({self.trainable / self.total:.2%})"


def trainable_report(model: Module, optimizer: Optimizer) -> TrainableReport:
    """What the optimizer does to each parameter of `model` at the moment: group, rate, weight decay, frozen or not.

    Rates are those that a schedule starts from: at the first step of a warmup all others are 0.
    """
    groups = [{"name": str(number), **group} for number, group in enumerate(optimizer.param_groups)]
    group_of = {p: group for group in groups for p in group["params"]}
    rows = []
    for name, parameter in model.named_parameters():
        group = group_of.get(parameter, {"name": "-", "lr": 0.0, "weight_decay": 0.0})
        rate, frozen = group.get("initial_lr", group["lr"]), not parameter.requires_grad
        rows.append(ReportRow(name, parameter.shape, group["name"], rate, group["weight_decay"], frozen))
    return TrainableReport(rows, model.num_parameters(trainable=True), model.num_parameters())
