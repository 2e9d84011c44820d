"""Everything up to the first step of a run: data read, labelled and split, a model, and a plan to train it by."""

import dataclasses
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minitx.app.estimate import check_memory, cost
from minitx.app.settings import DEFAULTS, Experiment
from minitx.app.two_stage import check_two_stage
from minitx.data.batches import Batch, TokenisedRows, length_batches
from minitx.data.csv_files import find_columns
from minitx.data.labelled import FEW_CLASSES, are_numbers, label_frame, read_labelled
from minitx.data.reviews import REVIEW_RULES, Rules, label_reviews, read_reviews
from minitx.data.rules import NO_LABEL, read_rules
from minitx.data.samples import COLUMNS, SENTENCES_NAME, SYNTHETIC_NAME, synthetic_reviews, synthetic_sentences
from minitx.data.split import LabelledTexts, Split, split
from minitx.data.tables import Audit, open_table
from minitx.errors import InputError
from minitx.evaluation.leakage import LeakageReport, leakage_report
from minitx.models.cooccurrence import cooccurrence_vectors
from minitx.models.encoder import SentenceEncoder
from minitx.models.multitask import MultiTaskModel
from minitx.models.task_weights import TaskWeights
from minitx.nn.layers import Dropout
from minitx.nn.pooling import Normalize
from minitx.nn.rare import new_pooling
from minitx.text.bpe import DEFAULT_SPECIALS, BPETokenizer
from minitx.training.epochs import check_select
from minitx.training.freezing import freeze, parameter_groups
from minitx.training.mlm import MaskedLanguageModel
from minitx.training.optim import AdamW
from minitx.training.pretraining import Objective, fit_texts
from minitx.training.schedules import factor
from minitx.training.simcse import SimCSE
from minitx.training.stacking import check_aims
from minitx.training.thawing import Plan

Log = Callable[[str], None]
Judging = tuple[LabelledTexts, Audit, dict[str, str]]  # rows, where they are from, and head -> a column that is missing
FEW_ROWS = 10  # of a class on average: with fewer, and many classes, they are rather ids
OBJECTIVES: dict[str, Callable[[SentenceEncoder, Sequence[Sequence[int]]], Objective]] = {
    "mlm": MaskedLanguageModel,
    "simcse": lambda encoder, sequences: SimCSE(encoder),
}


@dataclass
class Job:
    """A run before its first step: what would be trained, on what, and by which plan."""

    experiment: Experiment
    parts: Split
    audit: Audit  # of the file they come from
    leakage: LeakageReport  # from the training rows to the test rows
    model: MultiTaskModel
    rows: dict[str, TokenisedRows]  # "train", "validation", "test"
    texts_cut: dict[str, int]  # likewise
    plan: Plan
    task_weights: TaskWeights


def prepare(experiment: Experiment, log: Log = print, given: LabelledTexts | None = None) -> Job:
    """The stations up to the first step, with a line to `log` for each thing that was decided on the way.

    Rows that are `given` take the place of a file's, and are not split for a test: see `read_parts`.
    """
    # Before the wait, a wrong name is told.
    encoder = pretrained_encoder(experiment, log) if experiment.pretrained else None
    parts, audit, leakage, texts = read_parts(experiment, log, given)
    check_memory(experiment, encoder, parts.train.classes)
    rng = np.random.default_rng(experiment.seed)
    encoder = encoder or new_encoder(experiment, texts, rng)
    rows, cut = {}, {}  # how many texts are too long is a figure to report, not a warning
    for name, part in parts._asdict().items():
        sequences, cut[name] = encoder.tokenize_and_cut(part.texts)
        rows[name] = TokenisedRows(sequences, part.labels)
    made = "of the pretrained encoder" if experiment.pretrained else "learned from the training texts"
    long = f"{sum(cut.values())} of {sum(map(len, parts)):,} texts are longer than {encoder.max_seq_length} tokens"
    log(f"tokenizer: {encoder.config.vocab_size:,} tokens {made}; {long} and were cut")
    unlabelled = rows["train"] if texts is parts.train.texts else TokenisedRows(encoder.tokenize_and_cut(texts)[0], {})
    if not experiment.pretrained and experiment.embeddings == "cooccurrence":
        start_from_cooccurrence(encoder, unlabelled)
    e = experiment
    model = MultiTaskModel(encoder, parts.train.classes, e.head_dropout, e.head_hidden, e.kinds, rng=rng)
    batches = length_batches(*rows["train"], batch_size=e.batch_size, pad_id=0, rng=np.random.default_rng(0))
    log(f"batches of {e.batch_size} texts of similar length: {padding_waste(batches):.1%} of their tokens are padding")
    chance = sum(math.log(len(classes)) for classes in model.classes.values())
    log(f"model: {model.num_parameters():,} weights; chance is a loss of {chance:.2f}, the sum of ln(classes)")
    task_weights = TaskWeights(model.heads, experiment.task_weights, experiment.task_weighting == "uncertainty")
    plan = make_plan(experiment, model, task_weights, len(parts.train))
    if e.pretrained and e.lr == DEFAULTS["lr"] and not e.rates and encoder.num_parameters(trainable=True):
        log(f"note: lr {e.lr:g} is for an encoder from scratch; for a pretrained one, --lr 5e-5 is usual")
    log(cost(e, model, rows["train"].sequences, len(unlabelled.sequences)))
    if e.pretraining:  # after all that may be refused
        learn_before_labels(e, encoder, unlabelled.sequences, log)
    return Job(experiment, parts, audit, leakage, model, rows, cut, plan, task_weights)


def read_parts(
    e: Experiment, log: Log, given: LabelledTexts | None = None
) -> tuple[Split, Audit, LeakageReport, list[str]]:
    """Read, label and split; `InputError` for data that cannot be used.

    Of rows that are `given`, with an id each, none are kept for a test: the validation rows stand in their place.

    The last of the four are the texts that may be learned from without labels: those of the training rows and, with
    `pretraining`, also of the training rows that `train_rows` leaves out, as if nobody had labelled them.
    """
    if given is None:
        data, audit = read_data(e.data, e.text, e.labels, rules=read_rules(e.rules, e.words), encoding=e.encoding)
    else:
        data, audit = given, Audit("X", len(given), len(given))
    log(str(audit))
    for head, names in data.classes.items():
        if len(names) > FEW_CLASSES and len(data) < FEW_ROWS * len(names):
            some = f"{', '.join(names):.60}..."
            log(f"note: {head} has {len(names):,} classes for {len(data):,} rows; are these classes, or ids? {some}")
        if len({float(name) if are_numbers([name]) else name.casefold() for name in names}) < len(names):
            log(f"note: classes of {head} differ by case or form alone: {', '.join(names):.200}")
    check_two_stage(e.two_stage, data.classes)
    check_aims(e.decide, data.classes)
    check_select(e.select, dict.fromkeys(data.classes, np.zeros(1)))
    put_in_order(e, data)
    try:
        parts = split(data, seed=e.seed)
    except InputError as error:
        reviews = given is None and e.text is None and not e.rules and e.data not in (None, SYNTHETIC_NAME)
        alone = any(np.count_nonzero(data.class_counts(head)) < 2 for head in data.classes)
        ways = "; --text COLUMN --label NAME=COLUMN name other labels" * (reviews and alone)
        raise InputError(f"{audit.source}: {error}{ways}") from error
    if given is not None:
        held_out = set(parts.validation.ids)
        rest = [row for row, id in enumerate(data.ids) if id not in held_out]
        parts = Split(data.subset(np.array(rest)), parts.validation, parts.validation)
    leakage = leakage_report(parts.train, parts.test)
    by_name = parts._asdict()
    if given is not None:
        del by_name["test"]
    sizes = ", ".join(f"{len(part):,} {name}" for name, part in by_name.items())
    log(f"split {sizes}; no text or reviewId is on two sides")
    log(f"near duplicates of a training text: {leakage.rows('near'):,} of {len(parts.test):,} {[*by_name][-1]} rows")
    whole = parts.train.texts
    if 0 < e.train_rows < len(parts.train):
        chosen = np.random.default_rng(e.seed).permutation(len(parts.train))[: e.train_rows]
        parts = parts._replace(train=parts.train.subset(np.sort(chosen)))
        log(f"training on {e.train_rows:,} of the training rows, drawn at random")
    for name, part in by_name.items():
        for head in data.classes:
            if not part.class_counts(head).any():
                raise InputError(f"{audit.source}: no {name} row has a label for {head}; more labelled rows are needed")
            if missing := [c for c, n in zip(data.classes[head], part.class_counts(head), strict=True) if not n]:
                log(f"note: no {name} row of {head} is {', '.join(missing):.200}")
    return parts, audit, leakage, whole if e.pretraining else parts.train.texts


def put_in_order(e: Experiment, data: LabelledTexts) -> None:
    """The classes of heads as `classes` says; `InputError` where an order is needed and only the alphabet gives one."""
    costly = {head for head, aim in e.decide.items() if isinstance(aim, Mapping) and "cost" in aim}
    for head in [*e.classes, *e.kinds]:
        if head not in data.classes:
            raise InputError(f"classes and kinds: there is no head {head!r}: there is {', '.join(data.classes)}")
    for head, names in data.classes.items():
        order = [str(name) for name in e.classes.get(head, names)]
        if sorted(order) != sorted(names):
            raise InputError(f"classes.{head}: expected all of {', '.join(names)}, each once, in their order")
        needed = e.kinds.get(head, "softmax") != "softmax" or head in costly
        if needed and head in e.labels and head not in e.classes and not are_numbers(names):
            found = f"{', '.join(names)} is the alphabet's order"
            raise InputError(f"{head}: {found}; with kinds or costs, say the right one: classes.{head} = [...]")
        place = np.array([order.index(name) for name in names])
        data.labels[head] = np.where(data.labels[head] < 0, NO_LABEL, place[np.maximum(data.labels[head], 0)])
        data.classes[head] = tuple(order)


def new_encoder(e: Experiment, texts: Sequence[str], rng: np.random.Generator) -> SentenceEncoder:
    """An encoder from scratch, with a tokenizer that has learned from the training texts."""
    specials = ("[CLS]", "[PAD]", "[SEP]", "[MASK]") if e.relative_buckets else DEFAULT_SPECIALS  # MPNet pads with 1
    tokenizer = BPETokenizer.train(texts, vocab_size=e.vocab_size, special_tokens=specials)
    return SentenceEncoder(e.encoder_config(tokenizer.vocab_size, tokenizer.pad_id), tokenizer, rng=rng)


def learn_before_labels(e: Experiment, encoder: SentenceEncoder, sequences: Sequence[Sequence[int]], log: Log) -> None:
    """Pretraining on texts of the training rows, by a generator of its own: no text of another split is seen.

    All of the encoder learns, also what `freeze` or a stage then holds. It is part of what comes before the first step:
    a run that is resumed does it again, to the same bits.
    """
    sequences = list(dict.fromkeys(map(tuple, sequences)))  # a copy of a text is no other text
    held = [parameter for parameter in encoder.parameters() if not parameter.requires_grad]
    encoder.unfreeze()
    objective, rng = OBJECTIVES[e.pretraining](encoder, sequences), np.random.default_rng(e.seed).spawn(2)[1]
    how = {"epochs": e.pretraining_epochs, "batch_size": e.batch_size, "threads": e.threads}
    log(f"{e.pretraining} on the {len(sequences):,} texts of the training split, without labels")

    def say(number: int, loss: float, held_out: float) -> None:
        log(f"  epoch {number}/{e.pretraining_epochs}  loss {loss:.3f}")

    rows, lr = TokenisedRows(sequences, {}), rate_of(e.pretrained)
    fit_texts(objective, rows, lr=lr, rng=rng, on_epoch=say, **how)  # type: ignore[arg-type]
    for parameter in held:
        parameter.requires_grad = False


def rate_of(pretrained: str | None) -> float:
    """The learning rate before labels: of an encoder that begins, or of one that has learned already."""
    return 5e-5 if pretrained else 1e-3


def make_plan(e: Experiment, model: MultiTaskModel, task_weights: TaskWeights, train_rows: int) -> Plan:
    """Groups with their rates, an optimizer of them, and the plan by which rates change and parts freeze and thaw."""
    freeze(model, e.freeze)
    decays: dict[str, Any] = {"layer_decay": e.layer_decay, "weight_decay": e.weight_decay, "decay_all": e.decay_all}
    groups = parameter_groups(model, lr=e.lr, head_lr=e.head_lr, rates=e.rates, **decays)
    learned = list(task_weights.parameters())
    if learned:
        groups.append({"name": "task weights", "params": learned, "lr": e.head_lr, "weight_decay": 0.0})
    steps_per_epoch = math.ceil(train_rows / e.batch_size)
    steps = e.epochs * steps_per_epoch
    return Plan(
        model,
        AdamW(groups, weight_decay=e.weight_decay),
        factor(e.schedule, round(e.warmup * steps), steps),
        total_steps=steps,
        steps_per_epoch=steps_per_epoch,
        stages=e.parsed_stages(),
    )


def start_from_cooccurrence(encoder: SentenceEncoder, train: TokenisedRows) -> None:
    """Put `cooccurrence_vectors` of the training rows in the place of random embeddings, with their mean length."""
    inner = [ids[1:-1] for ids in train.sequences]  # without the special tokens at both ends
    table = encoder.embedding.weight.data
    vectors = cooccurrence_vectors(inner, *table.shape, rng=np.random.default_rng(0))
    known = vectors.any(axis=1)
    table[known] = vectors[known] * np.linalg.norm(table, axis=1).mean()


def pretrained_encoder(e: Experiment, log: Log) -> SentenceEncoder:
    """The pretrained encoder of an experiment, with its dropout, pooling, normalisation and maximum length.

    Under Dense layers the directory's pooling stays: they were trained for it.
    """
    encoder = SentenceEncoder.from_pretrained(e.pretrained, rng=np.random.default_rng(e.seed))
    for module in encoder.modules():
        if isinstance(module, Dropout):
            module.p = e.dropout
    own = encoder.config
    pooling, normalize = (own.pooling, own.normalize) if own.dense else (e.pooling, e.normalize)
    if (pooling, normalize) != (e.pooling, e.normalize):
        log(f"pooling: {pooling}, and normalize {normalize}, as the Dense layers of {e.pretrained} need")
    elif pooling != own.pooling:
        log(f"pooling: {pooling} (the directory: {own.pooling})")
    encoder.config = dataclasses.replace(own, dropout=e.dropout, pooling=pooling, normalize=normalize)
    encoder.pooling, encoder.normalize = new_pooling(pooling), Normalize() if normalize else None
    encoder.max_seq_length = min(encoder.max_seq_length, e.max_length)
    return encoder


def read_data(
    data: str | None,
    text: str | None,
    labels: Mapping[str, str],
    classes: dict[str, tuple[str, ...]] | None = None,
    rules: Rules = (),
    encoding: str = "",
) -> tuple[LabelledTexts, Audit]:
    """The rows an experiment is about; `classes` fixes the class names that are otherwise found in the data.

    Reviews are labelled by `rules` or, without any, by sentiment and engagement.
    """
    if data is None or data == SYNTHETIC_NAME:
        frame = synthetic_reviews()
        return label_reviews(frame, rules or REVIEW_RULES, Audit(SYNTHETIC_NAME, read=len(frame)))
    if data == SENTENCES_NAME:
        frame = synthetic_sentences()
        find_columns(SENTENCES_NAME, COLUMNS, list(labels.values()))
        columns = dict(labels) or {column: column for column in COLUMNS}
        return label_frame(frame, "text", columns, Audit(SENTENCES_NAME, read=len(frame)), classes=classes)
    if text is None:
        return read_reviews(data, rules or REVIEW_RULES, encoding)
    return read_labelled(data, text, dict(labels), classes=classes, encoding=encoding)


def read_to_judge(e: Experiment, classes: dict[str, tuple[str, ...]]) -> Judging:
    """The rows to judge a model of `classes` by, and heads that have no label there, with the column that is missing.

    `InputError` as in `read_data`, and if the columns of all heads are missing.
    """
    rules: Rules = read_rules(e.rules, e.words) or REVIEW_RULES
    columns = dict(e.labels) or {rule.name: rule.column for rule in rules}
    header = [*columns.values()]
    if os.path.isfile(str(e.data)) or os.path.isdir(str(e.data)):  # neither built in, nor a pipe
        with open_table(str(e.data), e.encoding) as (header, _):
            pass
    missing = {head: column for head, column in columns.items() if column not in header and head in classes}
    missing = missing if len(missing) < len(columns) else {}
    labels = {head: column for head, column in e.labels.items() if head not in missing}
    known = [rule for rule in rules if rule.name not in missing]
    data, audit = read_data(e.data, e.text, labels, classes, known, e.encoding)
    for head in missing:
        data.labels[head], data.classes[head] = np.full(len(data), NO_LABEL), classes[head]
    return data, audit, missing


def class_weights(counts: np.ndarray, power: float) -> np.ndarray:
    """Loss weights (C,) from rows per class (C,): (N / (C n))^power, scaled to a mean of 1 over the rows.

    Power 0 leaves all rows equal, 1 makes all classes equal (scikit-learn: `class_weight="balanced"`).
    """
    weights = (counts.sum() / (len(counts) * np.maximum(counts, 1))) ** power
    return weights * counts.sum() / (weights * counts).sum()


def padding_waste(batches: Iterable[Batch]) -> float:
    """The share of positions that hold padding, from 0 to 1 (0 without any batch)."""
    masks = (batch.attention_mask for batch in batches)
    real, positions = np.sum([(0, 0), *((mask.sum(), mask.size) for mask in masks)], axis=0)
    return float((positions - real) / max(1, positions))
