"""What is left of the first write-up's figures when its defects are mended?  `python -m benchmarks.first_writeup`

    python -m benchmarks.first_writeup reviews.csv                     # all defects, each mended in turn, all mended
    python -m benchmarks.first_writeup reviews.csv --leak --no-mask    # with these two alone in place of all

The write-up trained a small transformer with two heads from a random start on reviews of an app, first with one rate
and then, it says, with layer-wise rates. A defect is the one wrong line of a lab of the course, put in by a switch:

    --leak           rows are shuffled and cut, though many texts occur twice    test_texts_in_training
    --all-texts      the tokenizer learns from the test texts too                tokenizer_on_all_texts
    --no-mask        padding is attended to and averaged                         padding_as_words
    --root-of-width  attention scores are divided by the root of the width       root_of_the_width
    --shared-heads   all heads share one small projection                        heads_that_share
    --more-epochs    the layer-wise model is the first one, trained on           more_epochs_as_new_rates
    --small-rates    layer-wise rates as for a pretrained encoder                (its own rates, see below)
    --test-chosen    the epoch is chosen on the test rows                        best_epoch_on_test
    --batch-means    accuracy is a mean of batch accuracies                      mean_of_batch_accuracies
    --loss-by-rows   the training loss is divided by the rows of the data set    loss_over_all_rows
    --coin           accuracy is read beside a coin                              accuracy_beside_a_coin

The figures are those of the last model, the "layer-wise" one. Everything is smaller here: `--rows` rows, 64 wide, one
block. Adam moves a weight by about its rate in each step, so its rates are scaled to make rate times steps what it was
there; in what it called layer-wise rates, the encoder has a tenth of that and the engagement head ten times as much.
Without `--more-epochs` the last model has had half as many epochs: that is what the defect consists of.
"""

import argparse
import copy
import math
from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any, NamedTuple

import numpy as np

from minitx.app.prepare import read_data
from minitx.app.study import Study, StudyResult
from minitx.autograd import functional as F
from minitx.autograd.context import inference
from minitx.autograd.tensor import Tensor
from minitx.data.batches import length_batches
from minitx.data.split import LabelledTexts, Split
from minitx.evaluation.metrics import report_heads
from minitx.learn.files import course_directory, load_file
from minitx.learn.labs import SEEDS, find_labs
from minitx.models.encoder import SentenceEncoder
from minitx.models.multitask import MultiTaskModel
from minitx.nn.attention import MultiHeadAttention
from minitx.training.freezing import parameter_groups
from minitx.training.optim import AdamW

_small = load_file(course_directory() / "labs" / "_small.py")
RATE, rows_of, run_epochs, small_model = _small.RATE, _small.rows_of, _small.run_epochs, _small.small_model
LABS = {
    "leak": "test_texts_in_training",
    "all-texts": "tokenizer_on_all_texts",
    "no-mask": "padding_as_words",
    "root-of-width": "root_of_the_width",
    "shared-heads": "heads_that_share",
    "more-epochs": "more_epochs_as_new_rates",
    "small-rates": "rates_of_fine_tuning",
    "test-chosen": "best_epoch_on_test",
    "batch-means": "mean_of_batch_accuracies",
    "loss-by-rows": "loss_over_all_rows",
    "coin": "accuracy_beside_a_coin",
}
ITS_RATE, ITS_STEPS = 3e-5, 10 * 2819  # of its first model, in ten epochs
BATCH = 32
JUDGING = {"test-chosen", "batch-means", "loss-by-rows", "coin"}  # what leaves the training as it is
Lines = Mapping[str, Callable[..., Any]]  # switch -> the right or the wrong function of its lab
On = frozenset[str]  # switches


def built(lines: Lines, data: LabelledTexts, texts: list[str], seed: int) -> MultiTaskModel:
    """A new model, with the lines for its mask, its scores and its heads."""

    class Encoder(SentenceEncoder):
        def forward(self, ids: np.ndarray, attention_mask: np.ndarray) -> Tensor:
            more = self.config.max_length - ids.shape[1]
            padded = np.pad(ids, ((0, 0), (0, more)), constant_values=self.config.pad_id)
            return super().forward(padded, lines["no-mask"](attention_mask, more))

    class Attention(MultiHeadAttention):
        def forward(self, x: Tensor, attention_mask: np.ndarray | None = None, bias: Tensor | None = None) -> Tensor:
            D, H = x.shape[-1], self.num_heads
            q = self.query(x) * (math.sqrt(D // H) / lines["root-of-width"](D, H))  # F.attention divides by √K
            return self.out(F.attention(q, self.key(x), self.value(x), H, attention_mask, bias))

    model, rng = small_model(data, seed, Encoder, texts), np.random.default_rng(seed)
    D, H = model.encoder.config.hidden_size, model.encoder.config.num_heads
    attention = Attention(D, H, rng=rng)
    for name in ("query", "key", "value"):
        setattr(attention, name, lines["shared-heads"](D, H, rng))
    model.encoder.transformer.blocks[0].attention = attention
    return model


def rates(model: MultiTaskModel, on: On, layer_wise: bool, its_rate: float) -> AdamW:
    """The optimizer of the first model or of the layer-wise one."""
    if "small-rates" not in on:
        return AdamW(parameter_groups(model, lr=RATE, head_lr=RATE, layer_decay=0.8 if layer_wise else 1.0))
    if not layer_wise or "more-epochs" in on:  # the cell with the layer-wise rates was never run
        return AdamW(parameter_groups(model, lr=its_rate, head_lr=its_rate))
    return AdamW(parameter_groups(model, lr=its_rate / 10, head_lr=its_rate, rates={"engagement": 10 * its_rate}))


class Seen(NamedTuple):
    """A model after an epoch: class probabilities (N, C) by head, and the loss of each training batch with its rows."""

    validation: dict[str, np.ndarray]
    test: dict[str, np.ndarray]
    losses: np.ndarray
    sizes: np.ndarray


def look(model: MultiTaskModel, parts: Split) -> Seen:
    held_out = (rows_of(model, part).sequences for part in (parts.validation, parts.test))
    found = [model.probabilities(model.encoder.encode_ids(ids, show_progress_bar=False)) for ids in held_out]
    losses, sizes = [], []
    for batch in length_batches(*rows_of(model, parts.train), batch_size=BATCH, pad_id=model.encoder.config.pad_id):
        with inference():
            of_heads = model.losses(model(batch.ids, batch.attention_mask), batch.labels)
        losses.append(sum(loss.item() for loss in of_heads.values()))
        sizes.append(len(batch))
    return Seen(*found, np.array(losses), np.array(sizes))


def train(lines: Lines, on: On, data: LabelledTexts, epochs: int, seed: int) -> tuple[Split, list[Seen], list[Seen]]:
    """The parts, and what is seen after each epoch of the first model and of the layer-wise one."""
    parts = lines["leak"](data, seed)
    new = built(lines, data, lines["all-texts"](data, parts), seed)
    its_rate = ITS_RATE * ITS_STEPS / (epochs * math.ceil(len(parts.train) / BATCH))

    def run(model: MultiTaskModel, layer_wise: bool) -> list[Seen]:
        optimizer, seen = rates(model, on, layer_wise, its_rate), []
        for number in range(epochs):
            run_epochs(model, parts.train, optimizer, 1, 1000 * seed + number + epochs * layer_wise)
            seen.append(look(model, parts))
        return seen

    fixed = copy.deepcopy(new)
    return parts, run(fixed, layer_wise=False), run(lines["more-epochs"](new, fixed), layer_wise=True)


def figures(lines: Lines, parts: Split, first: list[Seen], last: list[Seen], seed: int) -> dict[str, float]:
    """What the write-up would print of its last model."""
    truth = parts.validation.labels["sentiment"], parts.test.labels["sentiment"]
    order = np.random.default_rng(seed).permutation(len(parts.test))

    def chosen(seen: list[Seen]) -> Seen:
        held_out = [[epoch[i]["sentiment"].argmax(axis=1) == truth[i] for epoch in seen] for i in (0, 1)]
        return seen[lines["test-chosen"](*(np.mean(right, axis=1) for right in held_out))]

    def accuracy(seen: Seen, head: str) -> float:
        right = (seen.test[head].argmax(axis=1) == parts.test.labels[head])[order]
        batches = np.split(right, range(BATCH, len(right), BATCH))
        return lines["batch-means"](*np.array([[rows.sum(), len(rows)] for rows in batches]).T)

    before, after = chosen(first), chosen(last)
    reports = report_heads(parts.test.labels, after.test, parts.test.classes)
    return {
        "sentiment accuracy": accuracy(after, "sentiment"),
        "engagement accuracy": accuracy(after, "engagement"),
        "engagement: gained over nothing": lines["coin"](reports["engagement"]),
        "sentiment: gained by layer-wise rates": accuracy(after, "sentiment") - accuracy(before, "sentiment"),
        "training loss": lines["loss-by-rows"](after.losses, after.sizes),
        "sentiment macro-F1": reports["sentiment"].macro_f1,
        "engagement macro-F1": reports["engagement"].macro_f1,
    }


def arms(switches: list[str], data: LabelledTexts, epochs: int) -> dict[str, Callable[[int], dict[str, float]]]:
    """All switches, each mended in turn, and none. Arms that are only judged in another way share their training."""
    labs, every = find_labs(), frozenset(switches)

    def lines_of(on: On) -> Lines:
        return {switch: labs[lab].wrong if switch in on else labs[lab].right for switch, lab in LABS.items()}

    @cache
    def trained(on: On, seed: int) -> tuple[Split, list[Seen], list[Seen]]:
        return train(lines_of(on), on, data, epochs, seed)

    def arm(on: On, seed: int) -> dict[str, float]:
        return figures(lines_of(on), *trained(on - JUDGING, seed), seed)

    sets = {"as written": every} | {f"--{one} mended": every - {one} for one in switches if len(switches) > 1}
    return {name: partial(arm, on) for name, on in (sets | {"all mended": frozenset()}).items()}


def table(result: StudyResult) -> str:
    """A row for each arm: means, marked where the difference from the first arm has a verdict."""
    marks = {"higher": " +", "lower": " -", "no verdict": "  "}
    rows = {}
    for arm in result.arms:
        change = {m: marks[result.difference(arm, m).verdict] for m in result.metrics}
        rows[arm] = {m: f"{result.mean(arm, m).mean:.3f}{change[m]}" for m in result.metrics}
    width = max(map(len, rows))
    names = [metric.split() for metric in result.metrics]
    lines = []
    for i in range(max(map(len, names))):  # a word of each heading in each line
        lines.append(f"{'':{width}}" + "".join(f"{name[i] if i < len(name) else '':>12}" for name in names))
    lines += [f"{arm:{width}}" + "".join(f"{cell:>12}" for cell in row.values()) for arm, row in rows.items()]
    seeds = ", ".join(map(str, result.seeds))
    legend = f"means over the seeds {seeds}; + and -: above and below the first row, by paired 95 % intervals"
    return "\n".join([*(line.rstrip() for line in lines), "", legend])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="?", metavar="CSV", help="a review file; built-in synthetic reviews if left out")
    labs = find_labs()
    for switch, lab in LABS.items():
        parser.add_argument(f"--{switch}", dest="on", action="append_const", const=switch, help=labs[lab].title)
    parser.add_argument("--rows", type=int, default=2000, help="of the file, drawn at random (%(default)s)")
    parser.add_argument("--epochs", type=int, default=4, help="of the first model, and of the last (%(default)s)")
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS[:3])
    a = parser.parse_args()
    data, audit = read_data(a.data, None, {})
    if a.rows < len(data):
        data = data.subset(np.sort(np.random.default_rng(0).permutation(len(data))[: a.rows]))
    print(f"{len(data):,} rows of {audit.source}; {a.epochs} epochs and {a.epochs} more\n")
    switches = [switch for switch in LABS if switch in (a.on or LABS)]
    print(table(Study(arms(switches, data, a.epochs), a.seeds).run()))


if __name__ == "__main__":
    main()
