"""How long do sentence embeddings take, beside sentence-transformers and ONNX Runtime?

    python -m benchmarks.bench_encoding reviews.csv [--model DIR] [--reviews 1000] [--rounds 5]
    python -m benchmarks.bench_encoding reviews.csv --reviews 100000 --rounds 0      parity over the whole file

Everybody gets the same weights (all-MiniLM-L6-v2 by default, from the extra `minilm`), texts and cores,
and turns text into vectors: tokenising counts. Token ids and vectors are asserted equal before anything is timed. The
two others run at the best of several batch sizes, found first: sentence-transformers sorts by length itself; ONNX
Runtime is given batches sorted by length too, or of equal length as minitx makes them. (The graph that its own
optimizer for transformers fuses was no faster than what its session makes of the exported one.) Then the contenders
take turns, so that a machine that speeds up or slows down does so for all; ratios are of medians.

What NumPy's OpenBLAS can do depends on its kernels, which are printed: an environment that sets OPENBLAS_CORETYPE may
hold it below what the processor has, and torch and ONNX Runtime not.

Start-up (process start to first vector) and peak memory are measured in a process of its own for each; and the memory
of `minitx embed` on files of short lines, whose slope says what a million lines would need.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import torch
import transformers
from sentence_transformers import SentenceTransformer
from threadpoolctl import threadpool_info
from tokenizers import Tokenizer

from benchmarks.bench_training import sgemm_peak
from minitx.data.texts import read_texts
from minitx.models.encoder import SentenceEncoder
from minitx.models.encoding import batches_by_length
from minitx.models.hub import find_directory
from minitx.system import usable_cores
from minitx.text.truncation import TruncationWarning

BATCH_SIZES = (8, 16, 32, 64, 128)
Encode = Callable[[list[str]], np.ndarray]

MINITX = """
from minitx.models.encoder import SentenceEncoder
encode = SentenceEncoder.from_pretrained(model).encode
"""
SENTENCE_TRANSFORMERS = """
from sentence_transformers import SentenceTransformer
encode = SentenceTransformer(model, device="cpu").encode
"""
PEAK = """
with open("/proc/self/status") as status:
    print(int(next(line for line in status if line.startswith("VmHWM")).split()[1]) / 1024)
"""
FIRST_VECTOR = """
import sys, time, warnings
model, reviews, count = sys.argv[1:]
{setup}
encode("first")
print(time.time())
from minitx.data.texts import read_texts
warnings.simplefilter("ignore")
encode(read_texts(reviews)[:int(count)])
"""
EMBED = """
import sys
from minitx.app.cli import main
main(["embed", *sys.argv[1:3], "--out", sys.argv[3]])
"""


class Wrapped(torch.nn.Module):
    """The network with its arguments by position, as the exporter calls it."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, ids: torch.Tensor, mask: torch.Tensor, types: torch.Tensor) -> torch.Tensor:
        return self.network(input_ids=ids, attention_mask=mask, token_type_ids=types).last_hidden_state


def export(model: Path, graph: Path) -> None:
    """Write the transformer as an ONNX graph of any batch size and length."""
    network = Wrapped(transformers.AutoModel.from_pretrained(model, attn_implementation="eager")).eval()
    ids, names = torch.ones(2, 8, dtype=torch.long), ["input_ids", "attention_mask", "token_type_ids"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (ids, ids, torch.zeros_like(ids)),
            str(graph),
            input_names=names,
            output_names=["states"],
            dynamic_axes={name: {0: "B", 1: "T"} for name in [*names, "states"]},
            dynamo=False,
        )


class Onnx:
    """ONNX Runtime in fp32, with the fast tokenizer, mean pooling and normalisation around it."""

    def __init__(self, model: Path, graph: Path, threads: int, max_length: int) -> None:
        self.tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(max_length)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        self.session = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
        self.names = {entry.name for entry in self.session.get_inputs()}

    def encode(self, texts: list[str], batch_size: int) -> np.ndarray:
        """Sorted by length, in batches of `batch_size`; 0 for batches of equal length, as minitx makes them."""
        sequences = [encoding.ids for encoding in self.tokenizer.encode_batch(texts)]
        lengths = np.array([len(ids) for ids in sequences])
        order = np.argsort(-lengths, kind="stable")
        batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size or 1)]
        if not batch_size:
            batches = batches_by_length(lengths, 32)
        vectors: np.ndarray = np.empty((len(texts), 0), np.float32)
        for rows in batches:
            ids = np.zeros((len(rows), lengths[rows].max()), np.int64)
            mask = (np.arange(ids.shape[1]) < lengths[rows][:, None]).astype(np.int64)
            ids[mask.astype(bool)] = np.concatenate([sequences[row] for row in rows])
            feed = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
            states = self.session.run(["states"], {name: feed[name] for name in self.names})[0]
            if not vectors.size:
                vectors = np.empty((len(texts), states.shape[-1]), np.float32)
            pooled = (mask[:, None, :].astype(np.float32) @ states)[:, 0]  # its length is normalised next
            vectors[rows] = pooled / np.linalg.norm(pooled, axis=1, keepdims=True)
        return vectors


def timed(encode: Encode, texts: list[str]) -> float:
    start = time.perf_counter()
    encode(texts)
    return time.perf_counter() - start


def best_size(name: str, encode: Callable[[list[str], int], np.ndarray], texts: list[str], sizes: tuple) -> int:
    encode(texts[:50], sizes[0])  # the first call is slower
    seconds = {size: timed(lambda texts, size=size: encode(texts, size), texts) for size in sizes}
    print(f"{name}: " + ", ".join(f"{size or 'equal lengths'}: {s:.2f} s" for size, s in seconds.items()))
    return min(seconds, key=seconds.__getitem__)


def flop(lengths: np.ndarray, config: object) -> float:
    """Of the matrix products over all tokens."""
    D, F, L = config.hidden_size, config.intermediate_size, config.num_layers  # type: ignore[attr-defined]
    return float(L * (lengths.sum() * 2 * (4 * D * D + 2 * D * F) + (lengths.astype(float) ** 2).sum() * 4 * D))


def own_process(setup: str, model: Path, reviews: str, count: int) -> tuple[float, float]:
    """Seconds from process start to the first vector, and peak memory in MB."""
    code, start = FIRST_VECTOR.format(setup=setup) + PEAK, time.time()
    arguments = [sys.executable, "-c", code, str(model), reviews, str(count)]
    out = subprocess.run(arguments, capture_output=True, text=True, check=True).stdout
    first, peak = map(float, out.split()[-2:])
    return first - start, peak


def embed_memory(model: Path, folder: Path, lines: int) -> float:
    """Peak memory in MB of a process that embeds a file of so many short lines."""
    source = folder / f"{lines}.txt"
    source.write_text("".join(f"line {i} of {lines}\n" for i in range(lines)), encoding="utf-8")
    arguments = [sys.executable, "-c", EMBED + PEAK, str(model), str(source), str(source.with_suffix(".npy"))]
    return float(subprocess.run(arguments, capture_output=True, text=True, check=True).stdout.split()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description="Sentence embeddings beside sentence-transformers and ONNX Runtime.")
    parser.add_argument("reviews", help="a review CSV, or a .txt with one text a line")
    parser.add_argument("--model", type=Path, help="a BERT-shaped sentence-transformers directory")
    parser.add_argument("--reviews", dest="count", type=int, default=1000, metavar="N", help="the first N texts")
    parser.add_argument("--rounds", type=int, default=5, help="0: parity only")
    a = parser.parse_args()
    warnings.simplefilter("ignore", TruncationWarning)
    model = a.model or find_directory("all-MiniLM-L6-v2")
    texts, threads = read_texts(a.reviews)[: a.count], usable_cores()
    torch.set_num_threads(threads)
    ours = SentenceEncoder.from_pretrained(model)
    reference = SentenceTransformer(str(model), device="cpu")

    sequences = ours.tokenize(texts)
    expected_ids = reference.tokenizer(texts, truncation=True)["input_ids"]
    assert sequences == [list(ids) for ids in expected_ids], "token ids differ"
    vectors, expected = ours.encode(texts), reference.encode(texts, batch_size=32, show_progress_bar=False)
    worst = np.abs(vectors - expected).max()
    assert worst <= 1e-5, worst
    lengths = np.array([len(ids) for ids in sequences])
    kernels = {library["architecture"] for library in threadpool_info() if library["internal_api"] == "openblas"}
    pin = os.environ.get("OPENBLAS_CORETYPE")
    pinned = f", pinned by OPENBLAS_CORETYPE={pin}" if pin else ""
    print(f"{len(texts):,} texts, {lengths.sum():,} tokens; {threads} cores; OpenBLAS {', '.join(kernels)}{pinned}")
    print(f"same token ids as sentence-transformers; largest difference of a component {worst:.1e}")
    if not a.rounds:
        return

    with tempfile.TemporaryDirectory() as folder:
        export(model, Path(folder, "model.onnx"))
        onnx = Onnx(model, Path(folder, "model.onnx"), threads, ours.max_seq_length)
    assert np.abs(onnx.encode(texts, 16) - expected).max() <= 1e-5

    def torch_encode(texts: list[str], size: int) -> np.ndarray:
        return reference.encode(texts, batch_size=size, show_progress_bar=False)

    torch_size = best_size("sentence-transformers, by batch size", torch_encode, texts, BATCH_SIZES)
    onnx_size = best_size("ONNX Runtime, by batch size", onnx.encode, texts, (0, 8, 16, 32))
    contenders: dict[str, Encode] = {
        "minitx": lambda texts: ours.encode(texts, show_progress_bar=False),
        f"sentence-transformers, batches of {torch_size}": lambda texts: torch_encode(texts, torch_size),
        f"ONNX Runtime fp32, batches of {onnx_size or 'equal length'}": lambda texts: onnx.encode(texts, onnx_size),
    }
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    peaks = []
    for _ in range(a.rounds):
        peaks.append(sgemm_peak(0.5))
        for name, encode in contenders.items():
            seconds[name].append(timed(encode, texts))
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    work, peak = flop(lengths, ours.config), statistics.median(peaks)
    print(f"\n{'median of ' + str(a.rounds) + ' rounds':50} seconds  texts/s  minitx is faster by  share of sgemm peak")
    for name, median in medians.items():
        share = work / median / peak / 1e9
        ratio = median / medians["minitx"]
        print(f"{name:50} {median:7.2f}  {len(texts) / median:7.0f}  {ratio:18.2f}x  {share:19.0%}")
    print(f"sgemm peak: {peak:.0f} GFLOP/s on {threads} cores\n")

    setups = {"minitx": MINITX, "sentence-transformers": SENTENCE_TRANSFORMERS}
    figures: dict[str, list[tuple[float, float]]] = {name: [] for name in setups}
    for _ in range(3):
        for name, setup in setups.items():
            figures[name].append(own_process(setup, model, a.reviews, a.count))
    for i, what in enumerate(("start-up to first vector, s", f"peak memory with {len(texts):,} texts, MB")):
        mine, theirs = (statistics.median(run[i] for run in figures[name]) for name in setups)
        print(f"{what:40} minitx {mine:7.2f}   sentence-transformers {theirs:8.2f}   ratio {mine / theirs:.2f}")

    with tempfile.TemporaryDirectory() as folder:
        memory = {lines: embed_memory(model, Path(folder), lines) for lines in (5_000, 10_000, 20_000)}
    slope = (memory[20_000] - memory[10_000]) / 10_000 * 1e6
    listed = ", ".join(f"{lines:,} lines {peak:.0f} MB" for lines, peak in memory.items())
    print(f"minitx embed, peak memory: {listed}; at that slope a million lines add {slope:.0f} MB")


if __name__ == "__main__":
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    main()
