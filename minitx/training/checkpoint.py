"""A result directory: a sentence encoder as other libraries read it too, and beside it what only minitx reads.

config.json  model.safetensors  tokenizer.json  modules.json ...      the encoder; see `models.pretrained`
minitx.json          heads with their class names, how the data was labelled
heads.safetensors    the heads' weights, `sentiment.weight` (C, D) and `sentiment.bias` (C,) for each
timeline.png  trainable.txt      what was to train, when and how fast: made before training
baseline.safetensors a bag of words trained on the same rows, to be read beside the model
metrics.json  history.csv  curves.png  gradients.png  confusion_<head>.png      what came out

The last three lines are not needed for loading.
"""

from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from minitx.errors import InputError
from minitx.models.encoder import SentenceEncoder
from minitx.models.multitask import MultiTaskModel
from minitx.system import CONFIG, WEIGHTS, read_json, write_json

FORMAT, VERSION = "minitx", 2
SETTINGS, HEADS, TOKENIZER, BASELINE = "minitx.json", "heads.safetensors", "tokenizer.json", "baseline.safetensors"


def save_model(model: MultiTaskModel, directory: Path, **extra: Any) -> None:
    """Write the encoder's files, the heads and minitx.json (with `extra` entries) into an existing directory."""
    model.encoder.write_files(directory)
    settings = {
        "format": FORMAT,
        "version": VERSION,
        "dropout": model.dropout.p,
        "head_hidden": model.hidden,
        "heads": {head: list(classes) for head, classes in model.classes.items()},
        **extra,
    }
    write_json(directory / SETTINGS, settings)
    weights = {
        f"{name}.{kind}": np.ascontiguousarray(array)
        for name, head in model.heads.items()
        for kind, array in head.state_dict().items()
    }
    safetensors.numpy.save_file(weights, directory / HEADS, metadata={"format": "pt"})


def load_config(directory: str | Path) -> dict[str, Any]:
    """The minitx.json of a result directory; `InputError` naming what is missing or wrong."""
    directory = Path(directory)
    if not directory.is_dir():
        raise InputError(f"{directory} is not a directory: expected one that `minitx train` wrote")
    needed = (SETTINGS, HEADS, CONFIG, WEIGHTS, TOKENIZER)
    missing = [name for name in needed if not (directory / name).is_file()]
    if missing:
        raise InputError(f"{directory} is not a complete result directory: {', '.join(missing)} is missing")
    path = directory / SETTINGS
    config = read_json(path)
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        raise InputError(f'{path} was not written by minitx: "format" is not "{FORMAT}"')
    if config.get("version") != VERSION:
        raise InputError(f"{path} has version {config.get('version')}, this minitx reads version {VERSION}")
    return config


def load_model(directory: str | Path) -> MultiTaskModel:
    """The model of a result directory, in eval mode, with its tokenizer; `InputError` naming file and fault."""
    directory = Path(directory)
    config = load_config(directory)
    encoder = SentenceEncoder.from_pretrained(directory)
    try:
        rng = np.random.default_rng(0)  # the weights it draws are replaced below
        model = MultiTaskModel(encoder, config["heads"], config["dropout"], config.get("head_hidden", 0), rng=rng)
    except (TypeError, KeyError, AttributeError, ValueError) as error:
        raise InputError(f"{directory / SETTINGS} does not describe a model: {error}") from error
    try:
        heads = {f"heads.{name}": array for name, array in safetensors.numpy.load_file(directory / HEADS).items()}
        model.load_state_dict(heads | {f"encoder.{name}": array for name, array in encoder.state_dict().items()})
    except (safetensors.SafetensorError, ValueError) as error:
        raise InputError(f"{directory / HEADS}: {error}") from error
    model.eval()
    return model
