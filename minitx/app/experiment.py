"""The whole path in one function: a CSV in, a result directory out. `minitx train` is this and nothing else."""

import csv
import dataclasses
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from minitx.app.plots import confusion_picture, task_gradients, timeline, training_curves
from minitx.app.settings import Experiment
from minitx.data.batches import length_batches, padding_waste
from minitx.data.reviews import REVIEW_RULES, Audit, label_frame, label_reviews, read_labelled, read_reviews
from minitx.data.rules import TextRule, read_rules
from minitx.data.samples import COLUMNS, SENTENCES_NAME, SYNTHETIC_NAME, synthetic_reviews, synthetic_sentences
from minitx.data.split import LabelledTexts, Split, split
from minitx.errors import InputError
from minitx.evaluation.leakage import LeakageReport, leakage_report
from minitx.evaluation.metrics import Report, confusion_matrix
from minitx.models.cooccurrence import cooccurrence_vectors
from minitx.models.encoder import SentenceEncoder
from minitx.models.multitask import MultiTaskModel, TaskWeights
from minitx.nn.layers import Dropout
from minitx.nn.pooling import Normalize, Pooling
from minitx.system import new_directory, usable_cores, write_json
from minitx.text.bpe import BPETokenizer
from minitx.text.tokenizer import Tokenizer, TruncationWarning
from minitx.training.baseline import BagOfWords
from minitx.training.checkpoint import BASELINE, save_model
from minitx.training.freezing import Plan, parameter_groups, trainable_report
from minitx.training.optim import AdamW
from minitx.training.schedules import factor
from minitx.training.trainer import Epoch, TokenisedRows, best_epoch, evaluate, fit, predict


def run(
    experiment: Experiment,
    out: Path,
    *,
    overwrite: bool = False,
    progress: bool = True,
    log: Callable[[str], None] = print,
) -> dict[str, Report]:
    """Read, split, tokenise, train, evaluate once on the test split, and write the directory `out`.

    Returns the test split's report for each head. `InputError` for data or settings that cannot be used, and `out` is
    then as it was.
    """
    e = experiment
    with new_directory(out, overwrite) as directory:
        job = prepare(e, log)
        timeline(job.plan, directory / "timeline.png")  # before training: it is a plan
        report = trainable_report(job.model, job.optimizer)
        (directory / "trainable.txt").write_text(f"{report}\n", encoding="utf-8", newline="\n")
        log(f"from the first step {report.summary()}; the plan is in timeline.png, each parameter in trainable.txt")

        epochs = train(job, e, progress, log)
        bag_of_words = BagOfWords.fit(job.parts.train, progress=progress)
        rows = job.rows["test"]  # the only look at it
        vectors = job.model.encoder.encode_ids(rows.sequences, 64, progress)
        test = bag_of_words.beside(evaluate(job.model, rows, vectors), job.parts.test)
        best = best_epoch(epochs)
        log(f"kept epoch {best.number}, the best on the validation split; on the test split it gives:")
        for head, result in test.items():
            log(f"\n{head}\n{result}")
        stages = {head: two_stage_report(job.model, rows, vectors, head, *pair) for head, pair in e.two_stage.items()}
        for head, staged in stages.items():
            log(f"\n{head}, read in two stages: {', then '.join(e.two_stage[head])}\n{staged}")

        save_model(
            job.model,
            directory,
            data={"text": e.text, "labels": dict(e.labels), "rules": dict(e.rules)} | {"words": dict(e.words)},
        )
        bag_of_words.save(directory / BASELINE)
        write_json(
            directory / "metrics.json",
            {
                "experiment": dataclasses.asdict(e),
                "data": job.audit.to_dict(),
                "rows": {name: len(part) for name, part in job.parts._asdict().items()},
                "leakage": job.leakage.to_dict(),
                "texts_cut": job.texts_cut,
                "weights": job.model.num_parameters(),
                "trainable_at_start": report.trainable,
                "threads": e.threads or usable_cores(),  # the last bits depend on it
                "best_epoch": best.number,
                "task_weights": job.task_weights.current(),
                "validation": {head: report.to_dict() for head, report in best.validation.items()},
                "test": {head: report.to_dict() for head, report in test.items()},
                "test_two_stage": {head: report.to_dict() for head, report in stages.items()},
            },
        )
        with (directory / "history.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, epochs[0].to_row(), lineterminator="\n")
            writer.writeheader()
            writer.writerows(epoch.to_row() for epoch in epochs)
        training_curves(epochs, directory / "curves.png", job.audit.source)
        if len(test) > 1 and any(math.isfinite(value) for epoch in epochs for value in epoch.gradients.values()):
            task_gradients(epochs, directory / "gradients.png", job.audit.source)
        for head, result in test.items():
            confusion_picture(result, directory / f"confusion_{head}.png", f"{head}, test split of {job.audit.source}")
    return test


@dataclass
class Job:
    """A run before its first step: what would be trained, on what, and by which plan."""

    model: MultiTaskModel
    optimizer: AdamW
    plan: Plan
    task_weights: TaskWeights
    parts: Split
    rows: dict[str, TokenisedRows]  # "train", "validation", "test"
    class_weights: dict[str, np.ndarray]
    order: np.random.Generator  # of the rows
    audit: Audit
    leakage: LeakageReport
    texts_cut: dict[str, int]


def prepare(experiment: Experiment, log: Callable[[str], None] = print) -> Job:
    """Everything up to the first step, with a line to `log` for each thing that was decided on the way."""
    e = experiment
    encoder = pretrained_encoder(e) if e.pretrained else None
    data, audit = read_data(e.data, e.text, e.labels, rules=read_rules(e.rules, e.words))
    log(str(audit))
    for head, pair in e.two_stage.items():
        check_two_stage(data.classes, head, *pair)
    try:
        parts = split(data, seed=e.seed)
    except InputError as error:
        raise InputError(f"{audit.source}: {error}") from error
    leakage = leakage_report(parts.train, parts.test)
    log(f"split {_listing(parts, len)}; no text or reviewId is on two sides")
    log(f"near duplicates of a training text: {leakage.rows('near'):,} of {len(parts.test):,} test rows")
    if 0 < e.train_rows < len(parts.train):
        chosen = np.random.default_rng(e.seed).permutation(len(parts.train))[: e.train_rows]
        parts = parts._replace(train=parts.train.subset(np.sort(chosen)))
        log(f"training on {e.train_rows:,} of the training rows, drawn at random")
    for name, part in parts._asdict().items():
        for head in data.classes:
            if not part.class_counts(head).any():
                raise InputError(f"{audit.source}: no {name} row has a label for {head}; more labelled rows are needed")

    rng = np.random.default_rng(e.seed)
    order = rng.spawn(1)[0]  # of its own, so that runs with one seed see the same batches whatever their weights
    if encoder is None:
        tokenizer = BPETokenizer.train(parts.train.texts, vocab_size=e.vocab_size)
        learned = f"{tokenizer.vocab_size:,} tokens learned from the training texts"
        rows, cut = _tokenise(tokenizer, parts, e.max_length)
        encoder = SentenceEncoder(e.encoder_config(tokenizer.vocab_size, tokenizer.pad_id), tokenizer, rng=rng)
        if e.embeddings == "cooccurrence":
            start_from_cooccurrence(encoder, rows["train"])
    else:
        learned = f"{encoder.config.vocab_size:,} tokens of the pretrained encoder"
        rows, cut = _tokenise(encoder.tokenizer, parts, encoder.max_seq_length)
    log(
        f"tokenizer: {learned}; {sum(cut.values())} of {sum(map(len, parts)):,} texts are longer than "
        f"{encoder.max_seq_length} tokens and were cut"
    )
    batches = length_batches(*rows["train"], batch_size=e.batch_size, pad_id=0, rng=np.random.default_rng(0))
    log(f"batches of {e.batch_size} texts of similar length: {padding_waste(batches):.1%} of their tokens are padding")
    model = MultiTaskModel(encoder, data.classes, e.head_dropout, e.head_hidden, rng=rng)
    task_weights = TaskWeights(model.heads, e.task_weights, e.task_weighting == "uncertainty")
    groups = parameter_groups(
        model,
        lr=e.lr,
        head_lr=e.head_lr,
        layer_decay=e.layer_decay,
        rates=e.rates,
        weight_decay=e.weight_decay,
        decay_all=e.decay_all,
    )
    learned_weights = list(task_weights.parameters())
    if learned_weights:
        name = "task weights"
        groups.append({"name": name, "layer": name, "params": learned_weights, "lr": e.head_lr, "weight_decay": 0.0})
    optimizer = AdamW(groups, weight_decay=e.weight_decay)
    steps_per_epoch = math.ceil(len(parts.train) / e.batch_size)
    steps = e.epochs * steps_per_epoch
    plan = Plan(
        model,
        optimizer,
        factor(e.schedule, round(e.warmup * steps), steps),
        total_steps=steps,
        steps_per_epoch=steps_per_epoch,
        stages=e.parsed_stages(),
        freeze=e.freeze,
    )
    expected = sum(math.log(len(classes)) for classes in data.classes.values())
    log(f"model: {model.num_parameters():,} weights; chance is a loss of {expected:.2f}, the sum of ln(classes)")
    weights = {head: class_weights(parts.train.class_counts(head), e.class_weighting) for head in model.heads}
    return Job(model, optimizer, plan, task_weights, parts, rows, weights, order, audit, leakage, cut)


def start_from_cooccurrence(encoder: SentenceEncoder, train: TokenisedRows) -> None:
    """Put `cooccurrence_vectors` of the training rows in the place of random embeddings, with their mean length."""
    inner = [ids[1:-1] for ids in train.sequences]  # without the special tokens at both ends
    table = encoder.embedding.weight.data
    vectors = cooccurrence_vectors(inner, *table.shape, rng=np.random.default_rng(0))
    known = vectors.any(axis=1)
    table[known] = vectors[known] * np.linalg.norm(table, axis=1).mean()


def train(job: Job, experiment: Experiment, progress: bool, log: Callable[[str], None]) -> list[Epoch]:
    """`fit` with the settings of an experiment, and a line to `log` for each epoch."""
    e = experiment
    return fit(
        job.model,
        job.rows["train"],
        job.rows["validation"],
        job.optimizer,
        schedule=job.plan,
        epochs=e.epochs,
        batch_size=e.batch_size,
        accumulate=e.accumulate,
        max_grad_norm=e.max_grad_norm,
        class_weights=job.class_weights,
        label_smoothing=e.label_smoothing,
        task_weights=job.task_weights,
        task_gradients=e.task_gradients,
        weight_average=e.weight_average,
        rng=job.order,
        threads=e.threads or None,
        progress=progress,
        on_epoch=lambda epoch: log(_rows(epoch, e.epochs)),
    )


def pretrained_encoder(experiment: Experiment) -> SentenceEncoder:
    """The pretrained encoder of an experiment, with its dropout, pooling, normalisation and maximum length."""
    e = experiment
    encoder = SentenceEncoder.from_pretrained(e.pretrained, rng=np.random.default_rng(e.seed))
    for module in encoder.modules():
        if isinstance(module, Dropout):
            module.p = e.dropout
    encoder.config = dataclasses.replace(encoder.config, dropout=e.dropout, pooling=e.pooling, normalize=e.normalize)
    encoder.pooling, encoder.normalize = Pooling(e.pooling), Normalize() if e.normalize else None
    encoder.max_seq_length = min(encoder.max_seq_length, e.max_length)
    return encoder


def read_data(
    data: str | None,
    text: str | None,
    labels: Mapping[str, str],
    classes: dict[str, tuple[str, ...]] | None = None,
    rules: Sequence[TextRule] = (),
) -> tuple[LabelledTexts, Audit]:
    """The rows an experiment is about; `classes` fixes the class names that are otherwise found in the data.

    Reviews are labelled by `rules` or, without any, by sentiment and engagement.
    """
    if data is None or data == SYNTHETIC_NAME:
        frame = synthetic_reviews()
        return label_reviews(frame, rules or REVIEW_RULES, Audit(SYNTHETIC_NAME, read=len(frame)))
    if data == SENTENCES_NAME:
        frame = synthetic_sentences()
        unknown = [column for column in labels.values() if column not in COLUMNS]
        if unknown:
            raise InputError(f"the {SENTENCES_NAME} have no column {', '.join(unknown)}: there is {', '.join(COLUMNS)}")
        columns = dict(labels) or {column: column for column in COLUMNS}
        return label_frame(frame, "text", columns, Audit(SENTENCES_NAME, read=len(frame)), classes=classes)
    if text is None:
        return read_reviews(data, rules or REVIEW_RULES)
    return read_labelled(data, text, dict(labels), classes=classes)


def check_two_stage(classes: Mapping[str, tuple[str, ...]], head: str, first: str, then: str) -> None:
    """`InputError` unless every class of `head` is one of `first` or of `then`, and `then` is asked at all."""
    for name in (head, first, then):
        if name not in classes:
            raise InputError(f"two_stage: there is no head {name!r}: there is {', '.join(classes)}")
    settled, asked = set(classes[first]) & set(classes[head]), set(classes[then])
    if settled & asked or settled | asked != set(classes[head]) or settled in (set(), set(classes[first])):
        raise InputError(
            f"two_stage: classes of {head} must be those of {then} and some of {first}, none of both: "
            f"{', '.join(classes[head])} of {', '.join(classes[first])} and {', '.join(classes[then])}"
        )


def two_stage_report(
    model: MultiTaskModel, rows: TokenisedRows, vectors: np.ndarray, head: str, first: str, then: str
) -> Report:
    """How well two heads answer the question of a third: `first` decides and, unless its class settles it, `then`.

    `vectors` (N, D) are the encoder's of the rows.
    A class of `first` that is a class of `head` as well settles it ("positive"); else the answer is `then`'s ("a
    technical complaint"). There is no loss.
    """
    names = model.classes
    kept = rows.labels[head] >= 0
    logits = predict(model, rows.sequences, vectors)
    answers = {name: logits[name][kept].argmax(axis=1) for name in (first, then)}
    predicted = np.array(
        [
            names[head].index(names[first][one] if names[first][one] in names[head] else names[then][two])
            for one, two in zip(answers[first], answers[then], strict=True)
        ],
        dtype=np.int64,
    )
    return Report(names[head], confusion_matrix(rows.labels[head][kept], predicted, len(names[head])), math.nan)


def _tokenise(
    tokenizer: Tokenizer | None, parts: Split, max_length: int
) -> tuple[dict[str, TokenisedRows], dict[str, int]]:
    """Each part's rows, and how many of its texts had to be cut to `max_length`: a figure to report, not a warning."""
    assert tokenizer is not None
    rows, cut = {}, {}
    for name, part in parts._asdict().items():
        cut[name] = sum(len(ids) > max_length for ids in tokenizer.encode_batch(part.texts))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", TruncationWarning)
            rows[name] = TokenisedRows(tokenizer.encode_batch(part.texts, max_length=max_length), part.labels)
    return rows, cut


def class_weights(counts: np.ndarray, power: float) -> np.ndarray:
    """Loss weights (C,) from rows per class (C,): (N / (C n))^power, scaled to a mean of 1 over the rows.

    Power 0 leaves all rows equal, 1 makes all classes equal (scikit-learn: `class_weight="balanced"`).
    """
    weights = (counts.sum() / (len(counts) * np.maximum(counts, 1))) ** power
    return weights * counts.sum() / (weights * counts).sum()


def _listing(parts: Split, number: Callable[[LabelledTexts], int]) -> str:
    return ", ".join(f"{number(part):,} {name}" for name, part in parts._asdict().items())


def _rows(epoch: Epoch, epochs: int) -> str:
    """One row of the table of epochs: training loss, then each head on the validation split.

    The first comes with the column names, and with what always predicting the largest class would score.
    """
    reports = epoch.validation.values()
    row = f"{f'{epoch.number}/{epochs}':>8}  {sum(report.loss for report in epoch.train.values()):8.3f}"
    row += "".join(f" | {r.loss:6.3f}  {r.accuracy:8.3f}  {r.macro_f1:8.3f}" for r in reports)
    row += f" | {f'{epoch.tokens_per_second:,.0f}' if epoch.tokens_per_second else '-':>8}"
    if epoch.number > 1:
        return row
    names = f"{'':8}  {'':8}" + "".join(f" | {f'{head}, validation':^26}" for head in epoch.validation)
    columns = f"{'epoch':>8}  {'training':>8}" + f" | {'loss':>6}  {'accuracy':>8}  {'macro-F1':>8}" * len(reports)
    majority = "".join(f" | {'':6}  {r.majority:8.3f}  {r.majority_macro_f1:8.3f}" for r in reports)
    return f"{names}\n{columns} | tokens/s\n{'majority':>8}  {'':8}{majority} |\n{row}"
