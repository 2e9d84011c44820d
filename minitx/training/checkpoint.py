"""A result directory: written whole or not at all, and refused if a piece is missing.

config.json          format, sizes, heads with their class names, how the data was labelled
model.safetensors    the weights, by name
tokenizer.json       the tokenizer, in the ecosystem's format
timeline.png  trainable.txt      what was to train, when and how fast: made before training
metrics.json  history.csv  curves.png  gradients.png  confusion_<head>.png      what came out; not needed for loading
"""

import dataclasses
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from minitx.errors import InputError
from minitx.models.config import EncoderConfig
from minitx.models.encoder import SentenceEncoder
from minitx.models.multitask import MultiTaskModel
from minitx.text.load import load_tokenizer
from minitx.text.tokenizer import Tokenizer

FORMAT, VERSION = "minitx", 1
CONFIG, WEIGHTS, TOKENIZER = "config.json", "model.safetensors", "tokenizer.json"


@contextmanager
def new_directory(path: Path, overwrite: bool = False) -> Iterator[Path]:
    """A temporary directory beside `path` that takes its place once the block has ended without an error.

    `InputError` at once if `path` exists (and, with `overwrite`, if it is something other than a result directory),
    or cannot be created.
    """
    check_target(path, overwrite)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    except OSError as error:
        raise InputError(f"cannot create {path}: {error.strerror}") from error
    try:
        yield partial
        partial.chmod(0o755)
        if path.exists():
            shutil.rmtree(path)
        os.replace(partial, path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def check_target(path: Path, overwrite: bool = False) -> None:
    """`InputError` if a result may not be written to `path`."""
    if not path.exists():
        return
    if not overwrite:
        raise InputError(f"{path} exists already: choose another directory, or pass --overwrite to replace it")
    if not (path / CONFIG).is_file():
        raise InputError(f"{path} exists and is not a result directory (it has no {CONFIG}): it will not be replaced")


def save_model(model: MultiTaskModel, directory: Path, **extra: Any) -> None:
    """Write config.json (with `extra` entries), model.safetensors and tokenizer.json into an existing directory."""
    config = {
        "format": FORMAT,
        "version": VERSION,
        "encoder": dataclasses.asdict(model.encoder.config),
        "max_seq_length": model.encoder.max_seq_length,
        "dropout": model.dropout.p,
        "head_hidden": model.hidden,
        "heads": {head: list(classes) for head, classes in model.classes.items()},
        **extra,
    }
    write_json(directory / CONFIG, config)
    # safetensors takes a transposed array's memory as it lies and would save it scrambled.
    weights = {name: np.ascontiguousarray(array) for name, array in model.state_dict().items()}
    safetensors.numpy.save_file(weights, directory / WEIGHTS, metadata={"format": "pt"})
    assert isinstance(model.encoder.tokenizer, Tokenizer)
    model.encoder.tokenizer.save(directory / TOKENIZER)


def load_config(directory: str | Path) -> dict[str, Any]:
    """The config.json of a result directory; `InputError` naming what is missing or wrong."""
    directory = Path(directory)
    if not directory.is_dir():
        raise InputError(f"{directory} is not a directory: expected one that `minitx train` wrote")
    missing = [name for name in (CONFIG, WEIGHTS, TOKENIZER) if not (directory / name).is_file()]
    if missing:
        raise InputError(f"{directory} is not a complete result directory: {', '.join(missing)} is missing")
    try:
        config = json.loads((directory / CONFIG).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{directory / CONFIG} is not JSON: {error}") from error
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        raise InputError(f'{directory / CONFIG} was not written by minitx: "format" is not "{FORMAT}"')
    if config.get("version") != VERSION:
        raise InputError(
            f"{directory / CONFIG} has version {config.get('version')}, this minitx reads version {VERSION}"
        )
    return config


def load_model(directory: str | Path) -> MultiTaskModel:
    """The model of a result directory, in eval mode, with its tokenizer; `InputError` naming file and fault."""
    directory = Path(directory)
    config = load_config(directory)
    tokenizer = load_tokenizer(directory / TOKENIZER)
    rng = np.random.default_rng(0)  # every weight it draws is replaced below
    try:
        encoder_config = EncoderConfig(**config["encoder"])
        encoder = SentenceEncoder(encoder_config, tokenizer, rng=rng)
        encoder.max_seq_length = int(config.get("max_seq_length", encoder_config.max_length))
        model = MultiTaskModel(encoder, config["heads"], config["dropout"], config.get("head_hidden", 0), rng=rng)
    except (TypeError, KeyError, AttributeError, InputError) as error:
        raise InputError(f"{directory / CONFIG} does not describe a model: {error}") from error
    if tokenizer.vocab_size > encoder_config.vocab_size:
        raise InputError(
            f"{directory / TOKENIZER} has {tokenizer.vocab_size} tokens, "
            f"{CONFIG} says {encoder_config.vocab_size}: they are not of one model"
        )
    try:
        model.load_state_dict(safetensors.numpy.load_file(directory / WEIGHTS))
    except (safetensors.SafetensorError, ValueError) as error:
        raise InputError(f"{directory / WEIGHTS}: {error}") from error
    model.eval()
    return model


def write_json(path: Path, value: Any) -> None:
    """UTF-8, two spaces, a newline at the end."""
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8", newline="\n")
