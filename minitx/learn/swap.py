"""A learner's pieces inside the real model: `minitx check mine.py --swap` trains it with them and without.

In place of functions of the package stand the learner's, for the rest of the process: that is why this is a program of
its own, `python -m minitx.learn.swap mine.py softmax attention`, and not a function to call.
"""

import math
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from minitx.autograd import engine, functional as F
from minitx.autograd.tensor import Tensor
from minitx.data.batches import WINDOW, Batch, TokenisedRows, length_batches, pad
from minitx.data.reviews import label_reviews
from minitx.data.samples import synthetic_reviews
from minitx.evaluation.evaluate import evaluate
from minitx.evaluation.metrics import Report
from minitx.learn import plain
from minitx.learn.files import load_file
from minitx.models.config import EncoderConfig
from minitx.models.encoder import SentenceEncoder
from minitx.models.multitask import MultiTaskModel
from minitx.nn.attention import MultiHeadAttention
from minitx.text import bpe
from minitx.text.truncation import TruncationWarning
from minitx.training.optim import AdamW

ROWS, EPOCHS, BATCH_SIZE = 1000, 2, 32
SIZES = {"hidden_size": 32, "intermediate_size": 64, "num_layers": 2, "num_heads": 2, "max_length": 32, "dropout": 0.0}
UNUSED = "  another of your pieces stands in the place of all that would call it"
Pieces = Mapping[str, Callable[..., Any]]


@dataclass(frozen=True)
class Trained:
    """What one training gave."""

    losses: list[float]  # of each step
    test: dict[str, Report]  # head -> the report of the test rows
    seconds: float  # of the steps
    test_rows: list[int]
    merges: list[tuple[str, str]]


def exchange(pieces: Pieces) -> None:
    """Put the learner's functions in the place of minitx's; the split and the batches are asked for by `train`."""
    for name, function in pieces.items():
        if name in EXCHANGED:
            EXCHANGED[name](function)


def _put(place: Any, **functions: Any) -> None:
    for name, function in functions.items():
        setattr(place, name, function)


def _unbroadcast(f: Callable[..., np.ndarray]) -> None:
    _put(engine, unbroadcast=f)  # and layer norm as the plain one, since fused ops sum for themselves
    _layer_norm(plain.layer_norm)


def _softmax(f: Callable[..., Tensor]) -> None:
    _put(plain, softmax=f)  # and attention as the plain one, which has a softmax that can be exchanged
    _put(F, softmax=f, attention=lambda q, k, v, num_heads, mask, *_: plain.attention(q, k, v, num_heads, mask))


def _attention(f: Callable[..., Tensor]) -> None:
    def attention(q: Tensor, k: Tensor, v: Tensor, num_heads: int, mask: np.ndarray, *_: Any) -> Tensor:
        B, T, D = q.shape
        K = D // num_heads
        heads = (x.reshape(B, T, num_heads, K).transpose(1, 2).reshape(B * num_heads, T, K) for x in (q, k, v))
        y = f(*heads, np.repeat(mask, num_heads, axis=0))
        return y.reshape(B, num_heads, T, K).transpose(1, 2).reshape(B, T, D)

    _put(F, attention=attention)


def _multi_head_attention(f: Callable[..., Tensor]) -> None:
    def forward(self: MultiHeadAttention, x: Tensor, attention_mask: np.ndarray, bias: Any = None) -> Tensor:
        return f(x, dict(self.named_parameters()), self.num_heads, attention_mask)

    _put(MultiHeadAttention, forward=forward)


def _layer_norm(f: Callable[..., Tensor]) -> None:
    _put(F, layer_norm=f, add_layer_norm=lambda x, r, w, b, eps, *_: f(x + r, w, b, eps))


def _adamw_step(f: Callable[..., Any]) -> None:
    def update(self: AdamW, step: int, group: Mapping[str, Any], x: np.ndarray, g: np.ndarray, *mv: np.ndarray) -> None:
        settings = (group["lr"], group["betas"], group["eps"], group["weight_decay"])
        for array, new in zip((x, *mv), f(x, g, *mv, step, *settings), strict=True):
            array[...] = new

    _put(AdamW, update=update, decoupled_weight_decay=False)  # the decay is part of the piece


def _bpe_merges(f: Callable[..., Any]) -> None:
    def learn_merges(counts: Mapping[str, int], first_new: int, max_merges: int, min_frequency: int = 0) -> list[str]:
        below = first_new - 256  # ids of bytes begin after the special tokens; in the order of ids ties are the same
        words = {tuple(ord(char) - below for char in word): count for word, count in counts.items()}
        return ["".join(chr(token + below) for token in pair) for pair in f(words, max_merges)]

    _put(bpe, learn_merges=learn_merges)


def _embedding_gradient(f: Callable[..., np.ndarray]) -> None:
    def embedding(ids: np.ndarray, w: Tensor, sparse: bool = False) -> Tensor:
        return Tensor.from_op(w.data[ids], (w,), lambda dy: (f(dy, ids, len(w)),))

    _put(F, embedding=embedding)


def _topological_order(f: Callable[..., Any]) -> None:
    _put(engine, topological_order=lambda root: [node for node in f(root) if not node.is_leaf])


EXCHANGED: dict[str, Callable[[Callable[..., Any]], None]] = {
    "topological_order": _topological_order,
    "unbroadcast": _unbroadcast,
    "softmax": _softmax,
    "cross_entropy": lambda f: _put(F, cross_entropy=lambda logits, target, *_, **__: f(logits, target)),
    "layer_norm": _layer_norm,
    "embedding_gradient": _embedding_gradient,
    "attention": _attention,
    "multi_head_attention": _multi_head_attention,
    "mean_pool": lambda f: _put(F, mean_pool=f),
    "adamw_step": _adamw_step,
    "bpe_merges": _bpe_merges,
}


def train(pieces: Pieces, seed: int = 0) -> Trained:
    """Train a small two-headed model on built-in reviews: float64, no dropout; two runs differ by their pieces only."""
    data, _ = label_reviews(synthetic_reviews(ROWS))
    rng = np.random.default_rng(seed)
    deal = pieces.get("leak_free_split", plain.leak_free_split)
    train_rows, test_rows = ([int(row) for row in side] for side in deal(data.texts, data.ids, 0.2, rng))
    parts = data.subset(np.array(train_rows)), data.subset(np.array(test_rows))
    tokenizer = bpe.BPETokenizer.train(parts[0].texts, vocab_size=600)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TruncationWarning)  # a long review loses its end, which will do here
        rows, held_out = (
            TokenisedRows(tokenizer.encode_batch(part.texts, max_length=SIZES["max_length"]), part.labels)  # type: ignore[arg-type]
            for part in parts
        )
    config = EncoderConfig(tokenizer.vocab_size, tokenizer.pad_id, **SIZES)  # type: ignore[arg-type]
    model = MultiTaskModel(SentenceEncoder(config, tokenizer, rng=rng), data.classes, dropout=0.0, rng=rng)
    model.to(np.float64)
    model.encoder.embedding.sparse = "adamw_step" not in pieces  # a step of the whole table decays all of its rows
    optimizer, losses, start = AdamW(model.parameters(), lr=2e-3), list[float](), time.perf_counter()
    steps = EPOCHS * math.ceil(len(train_rows) / BATCH_SIZE)
    with tqdm(total=steps, unit=" steps", leave=False, disable=not sys.stderr.isatty()) as bar:
        for _ in range(EPOCHS):
            for batch in _batches(rows, tokenizer.pad_id, rng, pieces.get("length_batches")):
                optimizer.zero_grad()
                by_head = model.losses(model(batch.ids, batch.attention_mask), batch.labels)
                loss = sum(by_head.values(), start=Tensor(np.zeros(())))
                loss.backward()
                optimizer.step()
                losses.append(loss.item())
                bar.update()
    seconds = time.perf_counter() - start
    return Trained(losses, evaluate(model, held_out), seconds, test_rows, list(tokenizer.spec.merges))


def _batches(
    rows: TokenisedRows, pad_id: int, rng: np.random.Generator, cut: Callable[..., Any] | None
) -> Iterator[Batch]:
    """`length_batches`; or, in windows of rows as there, what the learner's `cut` makes of their lengths."""
    if cut is None:
        yield from length_batches(*rows, batch_size=BATCH_SIZE, pad_id=pad_id, rng=rng)
        return
    order = rng.permutation(len(rows.sequences))
    windows = [order[start : start + WINDOW * BATCH_SIZE] for start in range(0, len(order), WINDOW * BATCH_SIZE)]
    lengths = [[len(rows.sequences[row]) for row in window] for window in windows]
    batches = [window[list(b)] for window, n in zip(windows, lengths, strict=True) for b in cut(n, BATCH_SIZE)]
    rng.shuffle(batches)
    for batch in batches:
        ids, attention_mask = pad([rows.sequences[row] for row in batch], pad_id)
        yield Batch(ids, attention_mask, {head: labels[batch] for head, labels in rows.labels.items()}, batch)


def compare(mine: Trained, yours: Trained) -> str:
    """The two trainings side by side."""
    lines = [f"{'':32}{'minitx':>10}{'yours':>10}"]
    figures = {f"loss, step {step}": (mine.losses[step - 1], yours.losses[step - 1]) for step in (1, len(mine.losses))}
    for head, report in mine.test.items():
        figures[f"{head} accuracy, test rows"] = report.accuracy, yours.test[head].accuracy
        figures[f"{head}, always the largest class"] = report.majority, yours.test[head].majority
    figures["milliseconds a step"] = 1000 * mine.seconds / len(mine.losses), 1000 * yours.seconds / len(yours.losses)
    lines += [f"{name:32}{a:10.4f}{b:10.4f}" for name, (a, b) in figures.items()]
    apart = max(abs(a - b) for a, b in zip(mine.losses, yours.losses, strict=True))
    lines.append(f"largest difference of a loss in {len(mine.losses)} steps: {apart:.1e}")
    for what, same in (("test rows", mine.test_rows == yours.test_rows), ("merges", mine.merges == yours.merges)):
        lines.append(f"{what}: {'the very same' if same else 'NOT the same'}")
    return "\n".join(lines)


def _counted(name: str, function: Callable[..., Any], calls: Counter[str]) -> Callable[..., Any]:
    def counted(*arguments: Any) -> Any:
        calls[name] += 1
        return function(*arguments)

    return counted


def main(path: str, names: Sequence[str]) -> int:
    """Train without the pieces of a file and then with them, and print both; 1 if the losses differ by over 1e-5."""
    module = load_file(Path(path))
    pieces = {name: getattr(module, name) for name in names}
    mine, calls = train({}), Counter[str]()
    counted = {name: _counted(name, function, calls) for name, function in pieces.items()}
    exchange(counted)
    try:
        yours = train(counted)
    except Exception as error:  # a stranger's function, on inputs that the check did not have
        raise SystemExit(f"error: with your pieces in it, training raised {type(error).__name__}: {error}") from error
    print(f"\n{ROWS:,} built-in reviews, {EPOCHS} epochs, float64, no dropout\nyours, and how often each was called:")
    print("\n".join(f"    {name:24}{calls[name]:>8,}{'' if calls[name] else UNUSED}" for name in pieces))
    print(compare(mine, yours))
    return 0 if np.allclose(mine.losses, yours.losses, rtol=0, atol=1e-5) and mine.merges == yours.merges else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
