"""The recipe `minilm-reviews` here and in torch: how good, how long?  `python -m benchmarks.bench_minilm reviews.csv`

For each seed, both start from the same weights and heads and train on the same rows by the same recipe: AdamW, rates,
warmup, class weights, clipping, dropout, the epoch that is best on the validation rows kept, the test rows looked at
once. Beside minitx's plain figures stand those of its answers (words and temperatures), of its encoder alone with a
temperature, and of thresholds chosen for macro-F1, all on validation rows. torch gets batches of similar length as
well; with `--random-batches` they hold random rows, padded to the longest of them, as most of its users have it.
Seconds are of training, evaluation after each epoch included.
"""

import argparse
import json
import os
import time
from pathlib import Path

import numpy as np
import torch
import transformers
from torch.nn import functional as TF
from tqdm import tqdm

from benchmarks.bench_finetune import Twin
from minitx.app.experiment import stack, train
from minitx.app.prepare import Job, class_weights, prepare
from minitx.app.settings import Experiment, experiment_of, read_recipe
from minitx.data.batches import Batch, TokenisedRows, length_batches, pad
from minitx.evaluation.evaluate import evaluate
from minitx.evaluation.metrics import Report, confusion_matrix
from minitx.evaluation.statistics import mean_interval
from minitx.training.schedules import factor


def random_batches(rows: TokenisedRows, size: int, rng: np.random.Generator) -> list[Batch]:
    order = rng.permutation(len(rows.sequences))
    parts = [order[start : start + size] for start in range(0, len(order), size)]
    padded = ((*pad([rows.sequences[row] for row in part], 0), part) for part in parts)
    return [Batch(ids, mask, {h: y[part] for h, y in rows.labels.items()}, part) for ids, mask, part in padded]


def logits_of(twin: Twin, batch: Batch) -> dict[str, torch.Tensor]:
    vectors = twin.dropout(twin.vectors(torch.tensor(batch.ids), torch.tensor(batch.attention_mask))) * twin.scale
    return {name: head(vectors) for name, head in twin.heads.items()}


def evaluate_torch(twin: Twin, rows: TokenisedRows, job: Job) -> dict[str, Report]:
    confusion = {head: np.zeros((len(names), len(names)), np.int64) for head, names in job.model.classes.items()}
    twin.eval()
    with torch.no_grad():
        for batch in length_batches(*rows, batch_size=64, pad_id=0):
            for head, logits in logits_of(twin, batch).items():
                confusion[head] += confusion_matrix(batch.labels[head], logits.argmax(1).numpy(), len(confusion[head]))
    twin.train()
    return {head: Report(names, confusion[head], float("nan")) for head, names in job.model.classes.items()}


def train_torch(twin: Twin, job: Job, e: Experiment, bucketed: bool, seed: int) -> dict[str, Report]:
    """The test report of the best epoch."""
    torch.manual_seed(seed)
    groups = []
    for part, lr in ((twin.encoder, e.lr), (twin.heads, e.head_lr)):
        groups.append(
            {"params": [p for p in part.parameters() if p.ndim > 1], "lr": lr, "weight_decay": e.weight_decay}
        )
        groups.append({"params": [p for p in part.parameters() if p.ndim == 1], "lr": lr, "weight_decay": 0.0})
    optimizer = torch.optim.AdamW(groups)
    steps = job.plan.total_steps
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor(e.schedule, round(e.warmup * steps), steps))
    counts = job.parts.train.class_counts
    shares = {head: class_weights(counts(head), e.class_weighting) for head in job.model.heads}
    weights = {head: torch.tensor(w, dtype=torch.float32) for head, w in shares.items()}
    rng, best, best_score = np.random.default_rng(seed), {}, -1.0
    for _ in range(e.epochs):
        rows = job.rows["train"]
        batches = random_batches(rows, e.batch_size, rng)
        if bucketed:
            batches = list(length_batches(*rows, batch_size=e.batch_size, pad_id=0, rng=rng))
        for batch in batches:
            optimizer.zero_grad()
            logits = logits_of(twin, batch)
            loss = sum(TF.cross_entropy(y, torch.tensor(batch.labels[h]), weights[h]) for h, y in logits.items())
            loss.backward()
            torch.nn.utils.clip_grad_norm_(twin.parameters(), e.max_grad_norm)
            optimizer.step()
            schedule.step()
        reports = evaluate_torch(twin, job.rows["validation"], job)
        score = np.mean([(report.accuracy + report.macro_f1) / 2 for report in reports.values()])
        if score >= best_score:
            best, best_score = {name: w.clone() for name, w in twin.state_dict().items()}, score
    twin.load_state_dict(best)
    return evaluate_torch(twin, job.rows["test"], job)


def figures(reports: dict[str, Report], start: float) -> dict[str, float]:
    found = {f"{head} accuracy": report.accuracy for head, report in reports.items()}
    found |= {f"{head} macro-F1": report.macro_f1 for head, report in reports.items()}
    found |= {f"{head} majority macro-F1": report.majority_macro_f1 for head, report in reports.items()}
    found |= {f"{head} calibration error": report.calibration_error for head, report in reports.items()}
    return {**found, "seconds": time.perf_counter() - start}


def run_seed(a: argparse.Namespace, seed: int) -> dict[str, dict[str, float]]:
    change = {} if a.class_weighting is None else {"class_weighting": a.class_weighting}
    change |= {"data": a.csv, "seed": seed, "threads": a.threads, "task_gradients": 0}
    e = experiment_of(read_recipe("minilm-reviews"), change)
    job, sides = prepare(e, lambda line: None), {}
    if not a.skip_torch:
        twin, start = Twin(job.model, e.dropout), time.perf_counter()
        sides["torch"] = figures(train_torch(twin, job, e, not a.random_batches, seed), start)
    start = time.perf_counter()
    train(job, False, lambda line: None)
    sides["minitx"] = figures(evaluate(job.model, job.rows["test"]), start)
    for name, aim in (("answers", "accuracy"), ("for macro-F1", "macro_f1")):  # words, temperatures and thresholds
        job.experiment = experiment_of(vars(e), {"wide": True, "decide": dict.fromkeys(job.model.classes, aim)})
        job.model.answers = stack(job, False)
        reports = evaluate(job.model, job.rows["test"], texts=job.parts.test.texts)
        sides[name] = figures(reports, start)
        if aim == "accuracy":
            sides["encoder alone"] = figures({h: r.parts["its encoder alone"] for h, r in reports.items()}, start)
    return sides


def main() -> None:
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("csv")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(10)))
    parser.add_argument("--random-batches", action="store_true", help="for torch: slower by far")
    parser.add_argument("--class-weighting", type=float, help="in place of the recipe's")
    parser.add_argument("--skip-torch", action="store_true", help="minitx alone")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="of either side; default: the cores")
    parser.add_argument(
        "--keep", type=Path, help="a .json that seeds are kept in: those that are there are not run again"
    )
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    kept = json.loads(a.keep.read_text()) if a.keep and a.keep.exists() else {}
    for seed in tqdm(a.seeds, unit=" seeds"):
        if str(seed) not in kept:
            kept[str(seed)] = run_seed(a, seed)
            if a.keep:
                a.keep.write_text(json.dumps(kept))
    runs = [kept[str(seed)] for seed in a.seeds]
    sides = list(runs[0])
    print(f"{'mean ± standard deviation of seeds':34}" + "".join(f" {side:>17}" for side in sides))
    for metric in runs[0]["minitx"]:
        values = [np.array([run[side][metric] for run in runs]) for side in sides]
        cells = "".join(f"{x.mean():10.3f} ± {x.std(ddof=len(x) > 1):.3f}" for x in values)
        print(f"{metric:34} {cells}")
    if not a.skip_torch and len(runs) > 1:
        print("\nminitx - torch, paired: mean and 95 % interval")
        for metric in runs[0]["minitx"]:
            d = mean_interval([run["minitx"][metric] - run["torch"][metric] for run in runs])
            print(f"{metric:34} {d.mean:+.4f} ({d.low:+.4f} to {d.high:+.4f})")
    if not a.skip_torch:
        ratios = [run["minitx"]["seconds"] / run["torch"]["seconds"] for run in runs]
        print(f"minitx / torch, median of the seeds' ratios of seconds: {np.median(ratios):.2f}")


if __name__ == "__main__":
    main()
