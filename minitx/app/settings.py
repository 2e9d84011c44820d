"""Every setting of a run, with its default and what it means; recipes are files of them.

`Experiment` is the one list of settings: the command line's flags and help, what a recipe may say, and the defaults of
`minitx train` are all read off it.
"""

import dataclasses
import difflib
import math
import os
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from minitx.data.rules import read_rules
from minitx.data.samples import SYNTHETIC_NAME
from minitx.data.sentences import SENTENCES_NAME
from minitx.errors import InputError
from minitx.models.config import POSITIONS, EncoderConfig
from minitx.models.multitask import check_head_names
from minitx.nn.pooling import POOLING_MODES
from minitx.nn.transformer import ACTIVATIONS
from minitx.training.freezing import Stage, check_starts
from minitx.training.schedules import SCHEDULES

RECIPES = Path(__file__).parent / "recipes"
BUILT_IN = (SYNTHETIC_NAME, SENTENCES_NAME)
SMALLEST_VOCABULARY = 261  # the bytes and the special tokens
CHOICES = {
    "schedule": tuple(SCHEDULES),
    "activation": tuple(ACTIVATIONS),
    "positions": POSITIONS,
    "embeddings": ("cooccurrence", "random"),
    "pooling": POOLING_MODES,
    "task_weighting": ("fixed", "uncertainty"),
}


KINDS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    dict: "a table",
    tuple: "a list",
}
LEAST = {
    **dict.fromkeys(("lr", "head_lr", "weight_decay", "seed", "threads", "train_rows", "task_gradients"), 0),
    "head_hidden": 0,
    "epochs": 1,
    "batch_size": 1,
    "accumulate": 1,
    "max_length": 3,
}


def _setting(default: Any, help: str) -> Any:
    return field(default=default, metadata={"help": help})


def _table(help: str) -> Any:
    return field(default_factory=dict, metadata={"help": help})


@dataclass(frozen=True)
class Experiment:
    """Everything that decides what a run gives; the defaults are what `minitx train` does.

    Tables and lists (labels, rules, words, rates, stages, ...) have no flag: a recipe or `--set` gives them.
    """

    data: str | None = _setting(None, f"a CSV, or one of: {', '.join(BUILT_IN)} (which are built in)")
    text: str | None = _setting(None, "text column of a CSV that is not a review file")
    labels: Mapping[str, str] = _table("its heads: name = column")
    rules: Mapping[str, Any] = _table("heads of a review file labelled by rule: see `data.rules.read_rules`")
    words: Mapping[str, str] = _table("lists of words that rules look for: name = 'crash*, log in'")
    two_stage: Mapping[str, Any] = _table("a head that two others answer together as well: topic = [first, then]")
    train_rows: int = _setting(0, "use only so many of the training rows; 0: all")
    seed: int = _setting(0, "of the split, the weights, the dropout and the order of rows")

    pretrained: str = _setting("", "directory or name of a pretrained encoder; without, one is made from the sizes")
    vocab_size: int = _setting(4000, "tokens to learn")
    hidden_size: int = _setting(128, "width of the encoder")
    num_layers: int = _setting(2, "transformer blocks")
    num_heads: int = _setting(4, "attention heads of each block; divides hidden_size")
    intermediate_size: int = _setting(512, "width inside the feed-forward networks")
    activation: str = _setting("gelu", "of the feed-forward networks")
    positions: str = _setting("sinusoidal", "how the encoder knows the order of tokens")
    embeddings: str = _setting("cooccurrence", "how token embeddings start: alike for alike company, or random")
    relative_buckets: int = _setting(0, "rows of a relative position bias as MPNet has (32 there); 0: none")
    norm_first: bool = _setting(False, "LayerNorm before attention and feed-forward, not after")
    max_length: int = _setting(128, "tokens that longer texts are cut to; the sizes end here, the rest is for all")
    dropout: float = _setting(0.4, "of the encoder while it trains")
    pooling: str = _setting("mean", "how token vectors become one")
    normalize: bool = _setting(False, "scale sentence vectors to length 1")
    head_dropout: float = _setting(0.4, "of sentence vectors on their way into the heads")
    head_hidden: int = _setting(0, "width of a hidden layer in each head; 0: heads are linear")

    epochs: int = _setting(8, "times through the training rows")
    batch_size: int = _setting(32, "rows of an optimizer step")
    accumulate: int = _setting(1, "pieces a batch is computed in, to save memory; the numbers are the same")
    lr: float = _setting(5e-4, "learning rate of the encoder's top block")
    layer_decay: float = _setting(1.0, "rate of each layer as a share of the one above, down to the embeddings")
    head_lr: float = _setting(2e-3, "learning rate of the heads")
    rates: Mapping[str, float] = _table("part = rate, in place of the above; parts as in training/freezing.py")
    freeze: tuple[str, ...] = _setting((), "parts that never train")
    stages: tuple[Mapping[str, Any], ...] = _setting(
        (), "who trains from which epoch on, and at what share of the rate"
    )
    weight_decay: float = _setting(0.01, "AdamW's")
    decay_all: bool = _setting(True, "weight decay for biases and LayerNorm's parameters too")
    schedule: str = _setting("linear", "how rates fall after the warmup")
    warmup: float = _setting(0.1, "share of the steps in which rates rise from 0")
    max_grad_norm: float = _setting(1.0, "gradients are scaled down to this joint length")
    label_smoothing: float = _setting(0.0, "share of each label spread over all classes")
    class_weighting: float = _setting(0.2, "0: every row counts the same; 1: every class does; between: in between")
    task_weighting: str = _setting("fixed", "of the heads' losses: fixed, or learned as uncertainties")
    task_weights: Mapping[str, float] = _table("fixed weights, head = weight; 1 for the others")
    task_gradients: int = _setting(2, "steps of each epoch at which tasks' gradients are compared")
    weight_average: float = _setting(0.99, "decay of a running mean of the weights, which is kept; 0: the last step's")
    threads: int = _setting(0, "threads that share each batch; 0: one for each core")

    def __post_init__(self) -> None:
        self._check_types()
        numbers = {name: (getattr(self, name), least) for name, least in LEAST.items()}
        numbers |= {f"rates.{part}": (rate, 0) for part, rate in self.rates.items()}
        numbers |= {f"task_weights.{head}": (weight, 0) for head, weight in self.task_weights.items()}
        for name, (number, least) in numbers.items():
            if not least <= number < math.inf:
                raise InputError(f"{name} must be at least {least}{' and finite' * (number == math.inf)}, not {number}")
        if not self.max_grad_norm > 0:
            raise InputError(f"max_grad_norm must be greater than 0 (inf for no clipping), not {self.max_grad_norm}")
        if self.label_smoothing == 1:
            raise InputError("label_smoothing must be below 1: at 1 the labels no longer count")
        for name in ("warmup", "label_smoothing", "class_weighting", "weight_average"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"{name} must be between 0 and 1, not {getattr(self, name)}")
        if not 0 < self.layer_decay <= 1:
            raise InputError(f"layer_decay must be above 0 and at most 1, not {self.layer_decay}")
        if not 0 <= self.head_dropout < 1:
            raise InputError(f"head_dropout must be in [0, 1), not {self.head_dropout}")
        for name, known in CHOICES.items():
            if getattr(self, name) not in known:
                raise InputError(f"unknown {name} {getattr(self, name)!r}: choose from {', '.join(known)}")
        self._check_data()
        self.parsed_stages()
        if not self.pretrained and self.vocab_size < SMALLEST_VOCABULARY:
            raise InputError(
                f"vocab_size must be at least {SMALLEST_VOCABULARY}, not {self.vocab_size}: bytes come first"
            )
        self.encoder_config(self.vocab_size, pad_id=0)  # a shape that cannot work is refused before any work is done

    def _check_types(self) -> None:
        """Every value is of the kind of its default: TOML and `--set` can give anything."""
        for setting in dataclasses.fields(self):
            value, default = getattr(self, setting.name), _default(setting)
            if isinstance(default, float) and type(value) is int:
                object.__setattr__(self, setting.name, value := float(value))
            if isinstance(default, tuple) and isinstance(value, list):
                object.__setattr__(self, setting.name, value := tuple(value))
            kinds = (str, type(None)) if default is None else (type(default),)
            if not isinstance(value, kinds) or (isinstance(value, bool) and not isinstance(default, bool)):
                raise InputError(f"{setting.name} must be {KINDS[kinds[0]]}, not {value!r}")
        for name, kind in {"rates": float, "task_weights": float, "labels": str, "words": str}.items():
            for key, value in getattr(self, name).items():
                if type(value) not in (kind, int if kind is float else kind):
                    raise InputError(f"{name}.{key} must be {KINDS[kind]}, not {value!r}")
        if not all(isinstance(part, str) for part in self.freeze):
            raise InputError(f"freeze must be a list of parts, not {list(self.freeze)!r}")

    def _check_data(self) -> None:
        built_in = self.data is None or self.data in BUILT_IN
        if self.data in (None, SYNTHETIC_NAME) and (self.text or self.labels):
            raise InputError("columns were named, but no CSV to find them in: pass --data as well")
        if self.data != SENTENCES_NAME and bool(self.text) != bool(self.labels):
            raise InputError("a CSV that is not a review file needs its text column and at least one label column")
        if self.rules and self.labels:
            raise InputError("labels come from columns or from rules, not from both: leave one of labels, rules out")
        if built_in and self.data == SENTENCES_NAME and self.rules:
            raise InputError(f"rules are for review files; the {SENTENCES_NAME} have labels")
        check_head_names([*self.labels, *self.rules])
        read_rules(self.rules, self.words)
        for head, pair in self.two_stage.items():
            if not isinstance(pair, list | tuple) or len(pair) != 2:
                raise InputError(
                    f"two_stage.{head}: expected two heads, as in ['sentiment', 'complaint'], not {pair!r}"
                )

    def parsed_stages(self) -> tuple[Stage, ...]:
        """The stages; one of everything if there are none. `InputError` naming the stage that cannot be used."""
        parsed: list[Stage] = []
        for number, stage in enumerate(self.stages, start=1):
            if isinstance(stage, Mapping):
                _check_keys(stage, [f.name for f in dataclasses.fields(Stage)], f"stage {number}: ")
            if not isinstance(stage, Mapping) or "train" not in stage:
                raise InputError(f"stage {number}: expected a table that says what trains, as in train = ['heads']")
            train = [stage["train"]] if isinstance(stage["train"], str) else stage["train"]
            if not isinstance(train, list | tuple) or not all(isinstance(part, str) for part in train):
                raise InputError(f"stage {number}: train must be a list of parts, not {train!r}")
            epoch, rate = stage.get("epoch", 0), stage.get("rate", 1)
            for name, value in (("epoch", epoch), ("rate", rate)):
                if type(value) not in (int, float) or not 0 <= value < math.inf:
                    raise InputError(f"stage {number}: {name} must be a number of at least 0, not {value!r}")
            parsed.append(Stage(tuple(train), float(epoch), float(rate)))
        check_starts([stage.epoch for stage in parsed], self.epochs)
        return tuple(parsed) or (Stage(),)

    def encoder_config(self, vocab_size: int, pad_id: int) -> EncoderConfig:
        """The part of the settings that an encoder from scratch is made of, and what its tokenizer turned out to be."""
        shared = {f.name for f in dataclasses.fields(EncoderConfig)} & {f.name for f in dataclasses.fields(self)}
        settings = {name: getattr(self, name) for name in shared}
        return EncoderConfig(**{**settings, "vocab_size": vocab_size, "pad_id": pad_id})


def _default(setting: "dataclasses.Field[Any]") -> Any:
    return {} if setting.default is dataclasses.MISSING else setting.default


# --- recipes ---------------------------------------------------------------------------------------------------------

ABOUT = ("about", "source")  # what a recipe says of itself, beside its settings


def recipe_names() -> list[str]:
    """The recipes that come with the package."""
    return sorted(path.stem for path in RECIPES.glob("*.toml"))


def read_recipe(name: str | os.PathLike[str]) -> dict[str, Any]:
    """The settings of a recipe: the name of one that comes with the package, or a TOML file.

    `InputError` for a recipe that is not there, a file that is not TOML, or an unknown key, with a suggestion.
    """
    path = Path(name)
    if str(name) in recipe_names():
        path = RECIPES / f"{name}.toml"
    elif path.suffix != ".toml":
        near = difflib.get_close_matches(str(name), recipe_names(), n=1)
        known = f"did you mean {near[0]}?" if near else f"choose from {', '.join(recipe_names())}"
        raise InputError(f"no recipe {name}: {known} (or give a .toml file)")
    try:
        settings = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from error
    except ValueError as error:  # not UTF-8, or not TOML
        raise InputError(f"{path} is not TOML: {error}") from error
    _check_keys(settings, [*_names(), *ABOUT], f"{path}: ")
    return settings


def experiment_of(*settings: Mapping[str, Any]) -> Experiment:
    """An experiment of settings by name, later ones before earlier ones, defaults for the rest."""
    together: dict[str, Any] = {}
    for part in settings:
        _check_keys(part, [*_names(), *ABOUT], "")
        together.update(part)
    return Experiment(**{key: value for key, value in together.items() if key not in ABOUT})


def apply_assignment(settings: dict[str, Any], assignment: str) -> None:
    """Put `key=value` into settings; `table.key=value` goes into a table. The value is TOML; if it is not, a text.

    >>> settings = {"rates": {"heads": 1e-3}}
    >>> for text in ("lr=3e-5", "rates.top 2=1e-5", "stages=[{train = 'heads'}]", "data=my reviews.csv"):
    ...     apply_assignment(settings, text)
    >>> settings["lr"], settings["rates"], settings["data"]
    (3e-05, {'heads': 0.001, 'top 2': 1e-05}, 'my reviews.csv')
    """
    key, equals, text = assignment.partition("=")
    key, text = key.strip(), text.strip()
    if not equals or not key:
        raise InputError(f"expected key=value, as in lr=3e-5, not {assignment!r}")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    table, dot, inner = key.partition(".")
    _check_keys([table], _names(), "")
    if not dot:
        settings[key] = value
        return
    if not isinstance(settings.setdefault(table, {}), dict) or not isinstance(_defaults()[table], dict):
        raise InputError(f"{table} is no table, so there is no {key}")
    settings[table] = {**settings[table], inner: value}


def _defaults() -> dict[str, Any]:
    return {setting.name: _default(setting) for setting in dataclasses.fields(Experiment)}


def _names() -> list[str]:
    return [setting.name for setting in dataclasses.fields(Experiment)]


def _check_keys(keys: Iterable[str], known: list[str], where: str) -> None:
    for key in keys:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            raise InputError(
                f"{where}unknown setting {key!r}; {f'did you mean {near[0]}?' if near else 'see minitx train --help'}"
            )
