"""Tokenizers of random directories and random texts, beside `tokenizers` and transformers: how many differ?

    python -m benchmarks.fuzz_tokenizers [--directories 2000] [--texts 30000] [--file tokenizer.json ...]

The directories are those of tests/test_tokenizer_directories.py: classes, settings and files that often disagree. Each
must give the ids and offsets of transformers or be refused. The texts go through Unigram tokenizers for every way of
cleaning and splitting, as in tests/test_unigram.py, and through the files that are named here, of any kind. Texts with
marks and parts of letters go through BPE of composed text, as in tests/test_composing.py.
"""

import argparse
import random
import tempfile
from collections import Counter
from pathlib import Path

from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers.utils import logging

from minitx.errors import InputError
from minitx.text.load import load_tokenizer
from tests import test_composing as composing, test_tokenizer_directories as directories, test_unigram as unigram


def directory_verdict(path: Path, seed: int) -> str:
    path.mkdir()
    directories.make_directory(path, random.Random(seed))
    try:
        load_tokenizer(path)
    except InputError:
        return "refused"
    try:
        directories.assert_same(path, directories.TEXTS + directories.FORGED)
    except AssertionError as error:
        print(f"{path.name}: {str(error).splitlines()[0]}")
        return "different"
    return "the same"


def differing(path: Path, texts: list[str]) -> int:
    """How many texts get other ids or offsets, with special tokens found where they are spelt out."""
    ours, theirs = load_tokenizer(path), Tokenizer.from_file(str(path))
    theirs.no_truncation()
    theirs.no_padding()
    count = 0
    for text, expected in zip(texts, theirs.encode_batch(texts), strict=True):
        found = ours.encode_with_offsets(text, allow_special=True)
        same = ours.encode(text, allow_special=True) == found.ids == expected.ids
        if not same or found.offsets != expected.offsets:
            count += 1
            print(f"{path.name}: {text!a}")
    return count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--directories", type=int, default=2000)
    parser.add_argument("--texts", type=int, default=30_000, help="for each tokenizer")
    parser.add_argument("--file", type=Path, action="append", default=[], help="a tokenizer.json of your own")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    logging.set_verbosity_error()

    with tempfile.TemporaryDirectory() as scratch:
        seeds = range(arguments.seed, arguments.seed + arguments.directories)
        verdicts = Counter(directory_verdict(Path(scratch) / str(seed), seed) for seed in seeds)
        print(f"directories: {', '.join(f'{count:,} {verdict}' for verdict, count in verdicts.most_common())}")
        learner = Tokenizer(models.Unigram())
        learner.pre_tokenizer = pre_tokenizers.Metaspace()
        trainer = trainers.UnigramTrainer(vocab_size=150, unk_token="<unk>", show_progress=False)
        learner.train_from_iterator(unigram.WORDS.split() * 3, trainer)
        pieces = unigram.in_order_of_xlm_roberta(learner)
        files = list(arguments.file)
        for choice in unigram.CHOICES:
            files.append(Path(scratch) / f"unigram {choice or 'as XLM-R'}.json".replace("/", " "))
            unigram.theirs_of(pieces, **choice).save(str(files[-1]))
        sources = [unigram.texts] * len(files) + [composing.texts] * len(composing.CHOICES)
        for choice in composing.CHOICES:
            files.append(Path(scratch) / f"BPE of composed text {choice or ''}.json")
            composing.their_file(files[-1], **choice)
        total = 0
        for i, (path, source) in enumerate(zip(files, sources, strict=True)):
            texts = source(arguments.texts, arguments.seed + i)
            found = differing(path, texts)
            total += found
            print(f"{path.name}: {found:,} of {len(texts):,} texts differ")
    raise SystemExit(bool(total or verdicts["different"]))


if __name__ == "__main__":
    main()
