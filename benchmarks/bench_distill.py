"""What is left of MiniLM in 1, 2 or 3 layers?  `python -m benchmarks.bench_distill CSV`

The recipe of `minitx distill` on the texts of the training rows of a leak-free split, and on those of `--texts`. Judged
on the test rows' texts (each once, none of them among the training texts, up to case and punctuation): how many of a
text's ten nearest neighbours by MiniLM are among its ten nearest by the student. And on the 200 pairs of
`paraphrases.toml`, which stand in groups of four about one subject: the mean reciprocal rank of the partner among 200,
in both directions. Texts a second are medians of interleaved runs, from text to vector.

`--validation` judges by the validation rows alone, and leaves the test rows and the paraphrases unread: for choosing.
What was tried so, with seed 0 and two layers; the share of neighbours, 498 validation texts:

    vectors of texts and their cosines, the teacher's vectors computed once, after four or five epochs:
        no pieces .545; two pieces of each text .576; the second term ten times as heavy .485; blocks 0 and 3 .525
        nine epochs and four pieces .610, of 1,554 held-out texts .552, and .878 of MiniLM's reciprocal rank
    the vectors of tokens as well, pieces drawn anew each time, after five passes over three times as many rows: .615
    and 6,000 sentences of Python's own documentation among the texts, after seven of twelve passes: .606
    after five passes over the reviews' texts: .588; with a rate of 1e-3 .594, of 2e-3 .594, batches of 32 .599;
        embeddings frozen, the terms of texts ten times as heavy, or pieces of two texts joined and tokens swapped:
        after two to four passes not better, by .003 to .014
    twelve passes over these and 23,600 opinions of other people (`--texts opinions.txt --epochs 12`), in batches of 64:
        .640; in batches of 32, which the line above chose: .646
    on the 1,056 test texts: of 64, .597, and .947 of MiniLM's reciprocal rank; of 32, .602 and .957

The opinions are the third column of the four `*_GroundTruth.txt` that come in the source of vaderSentiment 3.3.2
(`pip download --no-deps --no-binary :all: vaderSentiment==3.3.2`, additional_resources/hutto_ICWSM_2014.tar.gz).
"""

import argparse
import tomllib
import warnings
from pathlib import Path

import numpy as np

from minitx.app.pretrain import OF_DISTILL, compared, tokenised
from minitx.data.reviews import read_reviews
from minitx.data.split import normalise, split
from minitx.data.texts import stream_texts
from minitx.evaluation.retrieval import evaluate_retrieval
from minitx.models.encoder import SentenceEncoder
from minitx.text.truncation import TruncationWarning
from minitx.training.distillation import Distillation, neighbour_overlap, student_of
from minitx.training.pretraining import fit_texts

PARAPHRASES = Path(__file__).parent / "paraphrases.toml"


def paraphrases() -> list[tuple[str, str]]:
    parts = tomllib.loads(PARAPHRASES.read_text(encoding="utf-8")).values()
    return [(first, second) for groups in parts for pairs in groups.values() for first, second in pairs]


def reciprocal_rank(encoder: SentenceEncoder, pairs: list[tuple[str, str]]) -> float:
    """Of the partner among all partners, the mean over both directions."""
    sides = [encoder.encode(list(side)) for side in zip(*pairs, strict=True)]
    relevant = [{row} for row in range(len(pairs))]
    return float(np.mean([evaluate_retrieval(a, b, relevant, ks=(len(pairs),)).mrr for a, b in (sides, sides[::-1])]))


def once(texts: list[str]) -> list[str]:
    return list({normalise(text): text for text in texts}.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("csv")
    parser.add_argument("--layers", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--epochs", type=int, default=OF_DISTILL["epochs"])
    parser.add_argument("--lr", type=float, default=OF_DISTILL["lr"])
    parser.add_argument("--seed", type=int, default=0, help="of the split and of the order of texts")
    parser.add_argument("--texts", default=[], nargs="+", metavar="FILE", help="more to learn from, a text a line")
    parser.add_argument("--threads", type=int, default=0, help="of the training; default: one for each core")
    parser.add_argument("--validation", action="store_true")
    parser.add_argument("--keep", type=Path, help="a directory for the students; one that is there is only judged")
    a = parser.parse_args()
    warnings.simplefilter("ignore", TruncationWarning)
    parts = split(read_reviews(a.csv)[0], seed=a.seed)
    more = [text for file in a.texts for text in stream_texts(file) if text.strip()]
    judging = {normalise(text) for text in (*parts.validation.texts, *parts.test.texts)}
    train = once([text for text in [*more, *parts.train.texts] if normalise(text) not in judging])
    held_out = once(parts.validation.texts if a.validation else parts.test.texts)
    print(f"{len(train):,} texts to learn from, {len(held_out):,} to judge by")

    teacher = SentenceEncoder.from_pretrained("all-MiniLM-L6-v2")
    encoders = {"MiniLM": teacher}
    rows = tokenised(teacher, train, once(parts.validation.texts))
    for layers in a.layers:
        name, kept = f"{layers} of its layers", a.keep and a.keep / f"{layers}-layers"
        if kept and kept.exists():
            encoders[name] = SentenceEncoder.from_pretrained(kept)
            continue
        student = student_of(teacher, layers, rng=np.random.default_rng(a.seed))
        judged = teacher.encode(once(parts.validation.texts))

        def say(number: int, loss: float, held: float, student=student, judged=judged) -> None:
            student.eval()
            share = neighbour_overlap(judged, student.encode_ids(rows[1].sequences))
            print(
                f"epoch {number:3}  loss {loss:.3f}  validation {held:.3f}  neighbours shared {share:.3f}", flush=True
            )

        how = {"lr": a.lr, "epochs": a.epochs, "batch_size": OF_DISTILL["batch_size"], "dropout": 0.0}
        how |= {"threads": a.threads, "on_epoch": say, "rng": np.random.default_rng(a.seed)}
        fit_texts(Distillation(student, teacher), *rows, **how)
        encoders[name] = student
        if kept:
            student.save_pretrained(kept)
    table = compared(encoders, held_out)
    table["times MiniLM's speed"] = (table["texts a second"] / table["texts a second"][0]).round(2)
    if not a.validation:
        ranks = np.array([reciprocal_rank(encoder, paraphrases()) for encoder in encoders.values()])
        table["reciprocal rank"], table["share of MiniLM's"] = ranks.round(3), (ranks / ranks[0]).round(3)
    print(f"\n{table.to_string(index=False)}")


if __name__ == "__main__":
    main()
