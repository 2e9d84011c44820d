"""A result directory: a sentence encoder as the whole ecosystem reads it, and beside it what only minitx reads.

    config.json  model.safetensors  tokenizer.json  modules.json ...      the encoder; see `models.pretrained`
    minitx.json          version, heads with their class names, kinds and answers, how the data was labelled, and
                         `from_labels_alone`
    heads.safetensors    the heads' weights, `sentiment.weight` (C, D) and `sentiment.bias` (C,) for each
    words.safetensors    the bag of words that counts beside the encoder, if one does; minitx.json has its sha256
    timeline.png  trainable.txt      what was to train, when and how fast: made before training
    manifest.json        settings, versions, threads and data by hash, to do the run again, and every file's hash
    baseline.safetensors a bag of words trained on the same rows, which `minitx evaluate` sets beside the model
    metrics.json  history.csv  curves.png  gradients.png  confusion_<head>.png  calibration_<head>.png    what came out

The last four lines are not needed for loading. A directory of an older version is read, or refused with what to do;
one of each version that was ever written is kept in tests/saved.
"""

import hashlib
import math
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from shlex import quote
from typing import Any

import numpy as np

from minitx.errors import InputError
from minitx.models.answers import Answer, Answers
from minitx.models.encoder import SentenceEncoder
from minitx.models.hub import check_is_one
from minitx.models.multitask import MultiTaskModel
from minitx.models.weights import LARGEST, read_tensors, write_weights
from minitx.system import CONFIG, WEIGHTS, Fields, read_fields
from minitx.training.baseline import BagOfWords
from minitx.writing import UNFINISHED, write_json

FORMAT, VERSION = "minitx", 4  # of what is written
READ = (2, 3, 4)  # the versions that are still read
SETTINGS, HEADS, TOKENIZER, BASELINE = "minitx.json", "heads.safetensors", "tokenizer.json", "baseline.safetensors"
WORDS = "words.safetensors"
KNOWN = {"format", "version", "dropout", "head_hidden", "heads", "kinds", "answers", "words"}  # keys of minitx.json
TOLD = {"data", "from_labels_alone"}  # how it was trained
KNOWN |= TOLD | {"vector_scale"}


def save_model(model: MultiTaskModel, directory: Path, **extra: Any) -> None:
    """Write the encoder's files, the heads and minitx.json (with `extra` entries) into an existing directory."""
    model.encoder.write_files(directory)
    settings = {
        "format": FORMAT,
        "version": VERSION,
        "dropout": model.dropout.p,
        "head_hidden": model.hidden,
        "vector_scale": model.scale,
        "heads": {head: list(classes) for head, classes in model.classes.items()},
        "kinds": model.kinds,
        "answers": {head: asdict(model.answers.of(head)) for head in model.classes},
        "words": False,
        **model.told,
        **extra,
    }
    if words := model.answers.words:
        words.save(directory / WORDS)
        settings["words"] = hashlib.sha256((directory / WORDS).read_bytes()).hexdigest()
    write_json(directory / SETTINGS, settings)
    weights = {f"{name}.{kind}": w for name, head in model.heads.items() for kind, w in head.state_dict().items()}
    write_weights(directory / HEADS, weights)


def load_config(directory: str | Path) -> dict[str, Any]:
    """The minitx.json of a result directory; `InputError` naming what is missing, wrong, or of another version."""
    directory = Path(directory)
    if not directory.is_dir():
        ours = "one that `minitx train` wrote; on an encoder alone, `minitx train --pretrained NAME` builds one"
        raise InputError(f"{directory} is not a directory: expected {ours}")
    check_is_one(directory)
    settings, encoder = (read_fields(directory / name, optional=True) for name in (SETTINGS, CONFIG))
    for fields in (settings, encoder):  # version 1 kept its settings in config.json
        if fields.data.get("format") == FORMAT:
            version = fields.get("version", int)
            if version > VERSION:
                raise InputError(f"{fields.where} has version {version}, written by a newer minitx: update it")
            if version not in READ:
                raise InputError(f"{fields.where} has version {version}, which is no longer read: train it anew")
    needed = (SETTINGS, HEADS, CONFIG, WEIGHTS, TOKENIZER)
    missing = [name for name in needed if not (directory / name).is_file()]
    if missing and (directory / UNFINISHED).exists():
        how = f"`minitx train --resume {quote(str(directory))}` goes on with it"
        raise InputError(f"{directory} holds an unfinished run: {how}")
    if HEADS in missing and "heads" not in settings.data and not {CONFIG, WEIGHTS} & {*missing}:
        how = f"`minitx train --pretrained {quote(str(directory))}` puts some on it"
        raise InputError(f"{directory} is an encoder without heads: {how}")
    if missing:
        raise InputError(f"{directory} is not a complete result directory: {', '.join(missing)} is missing")
    if settings.data.get("format") != FORMAT:
        raise InputError(f'{settings.where} was not written by minitx: "format" is not "{FORMAT}"')
    return settings.data


def load_model(directory: str | Path) -> MultiTaskModel:
    """The model of a result directory, in eval mode, with its tokenizer; `InputError` naming file and fault."""
    directory = Path(directory)
    settings = Fields(load_config(directory), str(directory / SETTINGS))
    heads, dropout = settings.within("heads").data, settings.get("dropout", float)
    hidden, kinds = settings.get("head_hidden", int, 0, least=0), settings.within("kinds", {}).data
    arrays, _ = read_tensors(directory / HEADS)
    encoder = SentenceEncoder.from_pretrained(directory)
    try:
        counts = {head: c if isinstance(c, int) else len(c) for head, c in heads.items()}
        rows = sum(1 if kinds.get(head) == "ordinal" else C for head, C in counts.items())
        asked = rows * (hidden or encoder.config.width) + len(heads) * hidden * encoder.config.width
        if asked > 2 * sum(array.size for array in arrays.values()):  # before memory is asked for them
            raise InputError(f"it asks for far more weights than {HEADS} has")
        rng = np.random.default_rng(0)  # the weights it draws are replaced below
        model = MultiTaskModel(encoder, heads, dropout, hidden, kinds, rng=rng)
        if not math.isclose(settings.get("vector_scale", float, model.scale), model.scale):
            raise InputError(f"vector_scale is {settings.data['vector_scale']}, of this encoder it is {model.scale}")
        if any(len({*names}) < len(names) for names in model.classes.values()):
            raise InputError("a class stands twice in one head")
    except (TypeError, ValueError) as error:
        raise InputError(f"{settings.where} does not describe a model: {error!s:.300}") from error
    try:
        weights = {f"heads.{name}": array for name, array in arrays.items()}
        model.load_state_dict(weights | {f"encoder.{name}": array for name, array in encoder.state_dict().items()})
    except ValueError as error:
        raise InputError(f"{directory / HEADS}: {error}") from error
    model.answers = _load_answers(settings, model, directory)
    model.told = {name: settings.data[name] for name in sorted(TOLD & settings.data.keys())}
    model.eval()
    return model


def _load_answers(settings: Fields, model: MultiTaskModel, directory: Path) -> Answers:
    """How a stored model answers; `InputError` naming what is wrong."""
    stored, words, answers = settings.within("answers", {}), None, {}
    new, told = settings.data["version"] > 2, settings.data.get("words", False)
    if {*settings.data} - KNOWN or stored.data.keys() != ({*model.classes} if new else set()):
        unknown = ", ".join(sorted({*settings.data} - KNOWN)) or "answers that are not one for each head"
        raise InputError(f"{settings.where}: {unknown:.200} is nothing that version {settings.data['version']} has")
    if told:
        words = BagOfWords.load(directory / WORDS)
        if told != hashlib.sha256((directory / WORDS).read_bytes()).hexdigest():
            raise InputError(f"{directory / WORDS} is not the one that {SETTINGS} was written with")
        pairs = [(words.classes.get(head, ()), names) for head, names in model.classes.items()]
        moved = any(w != names and sorted(w) == sorted(names) for w, names in pairs)  # renamed is no harm
        if moved or len(words.classes) != len(pairs) or any(len(w) != len(names) for w, names in pairs):
            raise InputError(f"{directory / WORDS} is of another model: its heads and classes are not {SETTINGS}'s")
    for head, names in model.classes.items():
        if not new:
            continue  # it had plain answers alone
        fields, C = stored.within(head), len(names)
        known = [name for name in vars(Answer()) if "noise" not in name or settings.data["version"] > 3]
        scales: dict[str, float] = {name: fields.get(name, float) for name in known[:-3]}
        biases, offsets, costs = (fields.get(name, list) for name in ("biases", "offsets", "costs"))
        rows = [row if isinstance(row, list) else [None] for row in costs]
        numbers = [*scales.values(), *biases, *offsets, *chain.from_iterable(rows)]
        fits = all(type(number) in (int, float) and abs(number) <= LARGEST for number in numbers)
        fits = fits and min(scales.values()) >= 0 and fields.data.keys() == {*known}
        fits = fits and all(share <= 1 for name, share in scales.items() if "noise" in name)
        fits = fits and not (offsets and costs) and min(chain.from_iterable(rows), default=0) >= 0
        if not fits or not {len(biases), len(offsets)} <= {0, C} or [*map(len, rows)] not in ([], [C] * C):
            raise InputError(
                f"{fields.where}: expected all of {', '.join(known)}: scales from 0, noise to 1, {C} biases or none, "
                f"and {C} offsets, or {C} x {C} costs from 0, or none"
            )
        answers[head] = Answer(**scales, biases=(*biases,), offsets=(*offsets,), costs=tuple(map(tuple, costs)))
    if not words and any(answer.words for answer in answers.values()):
        raise InputError(f"{settings.where}: answers count words, but there are none")
    return Answers(answers, words)
