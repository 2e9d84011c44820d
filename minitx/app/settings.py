"""Every setting of a run, with its default, what it accepts and what it means; recipes are files of them.

`Experiment` is the one list of settings: the command line's flags and help, what a recipe may say, and the defaults of
`minitx train` are all read off it.
"""

import dataclasses
import math
import os
import sys
import tomllib
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from minitx.app.two_stage import check_pairs
from minitx.autograd.functional import ACTIVATIONS, MAX_DROPOUT
from minitx.data.rules import read_rules
from minitx.data.samples import SENTENCES_NAME, SYNTHETIC_NAME
from minitx.errors import InputError, suggestion
from minitx.models.architectures import architecture_for
from minitx.models.config import POSITIONS, EncoderConfig
from minitx.models.heads import HEAD_KINDS, check_head_names
from minitx.nn.pooling import POOLING_MODES
from minitx.system import KINDS as JSON_KINDS, read_text
from minitx.training.nonfinite import ON_NAN
from minitx.training.schedules import SCHEDULES
from minitx.training.thawing import Stage, check_starts

RECIPES = Path(__file__).parent / "recipes"
KINDS = {**JSON_KINDS, dict: "a table", tuple: "a list in [brackets]"}  # as TOML calls them


class Limit(NamedTuple):
    """Which numbers a setting accepts, as a message says it and as a test."""

    words: str
    accepts: Callable[[float], bool]


def at_least(least: int, most: int) -> Limit:
    """The limits of a whole number. `most` is far above what anybody needs, and far below what never ends."""
    return Limit(f"at least {least} and at most {most:,}", lambda number: least <= number <= most)


FINITE = sys.float_info.max  # which an int can exceed
NOT_NEGATIVE = Limit("at least 0 and finite", lambda number: 0 <= number <= FINITE)
SHARE = Limit("between 0 and 1", lambda number: 0 <= number <= 1)
BELOW_1 = Limit("in [0, 1)", lambda number: 0 <= number < 1)
DROPOUT = Limit(f"from 0 to {MAX_DROPOUT:.5f}", lambda number: 0 <= number <= MAX_DROPOUT)
DECAY = Limit("above 0 and at most 1", lambda number: 0 < number <= 1)
NORM = Limit("greater than 0 (inf for no clipping)", lambda number: 0 < number <= FINITE or number == math.inf)
MOST_WEIGHTS = 10**9  # each takes 24 bytes while it trains: with its gradient, Adam's two means, average and best
MOST_HEADS = 50  # each has pictures of its own, with its name, which therefore has at most so many characters too
OF_ANY_ENCODER = {"max_length", "dropout", "pooling", "normalize"}  # of `EncoderConfig`; a pretrained one has the rest


def _setting(
    default: Any, help: str, limit: Limit | None = None, *, choices: Iterable[str] = (), values: type | None = None
) -> Any:
    """A field; of a table, `values` is the kind of its values, and the limit is theirs."""
    metadata = {"help": help, "limit": limit, "choices": tuple(choices), "values": values}
    start = {"default_factory": dict} if default == {} else {"default": default}
    return field(**start, metadata=metadata)


@dataclass(frozen=True)
class Experiment:
    """Everything that decides what a run gives; the defaults are what `minitx train` does.

    Tables and lists (labels, rules, words, rates, stages, ...) have no flag: a recipe or `--set` gives them.
    """

    data: str | None = _setting(None, f"a CSV or another table; built in are {SYNTHETIC_NAME}, {SENTENCES_NAME}")
    text: str | None = _setting(None, "text column of a CSV that is not a review file")
    encoding: str = _setting("", "of the data, as in cp1252; UTF-8 if it is not said")
    labels: Mapping[str, str] = _setting({}, "heads of such a CSV: name = column", values=str)
    rules: Mapping[str, Any] = _setting({}, "heads of a review file labelled by rule: see `data.rules.read_rules`")
    words: Mapping[str, str] = _setting({}, "lists of words that rules look for: name = 'crash*, log in'", values=str)
    classes: Mapping[str, list[Any]] = _setting({}, "head = [all its classes, in their order]", values=list)
    two_stage: Mapping[str, Any] = _setting({}, "a head that two others answer together as well: topic = [first, then]")
    train_rows: int = _setting(0, "use only so many of the training rows; 0: all", at_least(0, 10**12))
    seed: int = _setting(0, "seed of the split, the weights, the dropout and the order of rows", at_least(0, 2**128))

    pretrained: str = _setting("", "name or directory of a pretrained encoder; if none, the sizes make one")
    vocab_size: int = _setting(4000, "tokens to learn, with bytes and special tokens", at_least(261, 10**6))
    hidden_size: int = _setting(128, "width of the encoder", at_least(1, 100_000))
    num_layers: int = _setting(2, "transformer blocks", at_least(1, 1000))
    num_heads: int = _setting(4, "attention heads of each block; divides hidden_size", at_least(1, 1000))
    intermediate_size: int = _setting(512, "width inside the feed-forward networks", at_least(1, 1_000_000))
    activation: str = _setting("gelu", "activation of the feed-forward networks", choices=tuple(ACTIVATIONS))
    positions: str = _setting("sinusoidal", "how the encoder knows the order of tokens", choices=POSITIONS)
    pretraining: str = _setting("", "learn from the training texts alone first: how", choices=("", "mlm", "simcse"))
    pretraining_epochs: int = _setting(20, "times through them; 0: they only give tokens", at_least(0, 10_000))
    embeddings: str = _setting("cooccurrence", "how token embeddings start", choices=("cooccurrence", "random"))
    relative_buckets: int = _setting(0, "rows of a relative position bias, in MPNet 32; 0: none", at_least(0, 10_000))
    norm_first: bool = _setting(False, "LayerNorm before attention and feed-forward, not after")
    max_length: int = _setting(128, "longer texts are cut to this many tokens", at_least(3, 100_000))
    dropout: float = _setting(0.4, "dropout in the encoder while it trains", DROPOUT)
    pooling: str = _setting("mean", "how token vectors become one", choices=POOLING_MODES)
    normalize: bool = _setting(False, "scale sentence vectors to length 1")
    head_dropout: float = _setting(0.4, "dropout of sentence vectors on their way into the heads", DROPOUT)
    head_hidden: int = _setting(0, "width of a hidden layer in each head; 0: heads are linear", at_least(0, 100_000))
    kinds: Mapping[str, str] = _setting(
        {}, "head = ordinal or corn: its classes are in an order, that of rules, numbers or `classes`", values=str
    )
    wide: bool = _setting(True, "a bag of words and runs of characters answers together with the encoder")
    calibrate: bool = _setting(True, "temperature and noise of each head, so that 0.8 is right in 8 of 10 cases")
    decide: Mapping[str, Any] = _setting({}, "head = accuracy, macro_f1, {recall = {CLASS = 0 to 1}} or {cost = [...]}")

    epochs: int = _setting(8, "times through the training rows", at_least(1, 10_000))
    batch_size: int = _setting(32, "rows of an optimizer step", at_least(1, 1_000_000))
    accumulate: int = _setting(1, "parts a batch is computed in, for less memory; same numbers", at_least(1, 10_000))
    lr: float = _setting(5e-4, "learning rate of the encoder's top block", NOT_NEGATIVE)
    layer_decay: float = _setting(1.0, "rate of each layer as a share of the one above, down to the embeddings", DECAY)
    head_lr: float = _setting(2e-3, "learning rate of the heads", NOT_NEGATIVE)
    rates: Mapping[str, float] = _setting(
        {}, "part = rate; parts as in training/freezing.py", NOT_NEGATIVE, values=float
    )
    freeze: tuple[str, ...] = _setting((), "parts that never train")
    stages: tuple[Mapping[str, Any], ...] = _setting((), "what trains, from which epoch on, at what share of its rate")
    weight_decay: float = _setting(0.01, "weight decay of AdamW", NOT_NEGATIVE)
    decay_all: bool = _setting(True, "weight decay for biases and LayerNorm's parameters too")
    schedule: str = _setting("linear", "how rates fall after the warmup", choices=SCHEDULES)
    warmup: float = _setting(0.1, "share of the steps in which rates rise from 0", SHARE)
    max_grad_norm: float = _setting(1.0, "length to which a longer gradient is scaled down", NORM)
    label_smoothing: float = _setting(0.0, "share of each label spread over all classes", BELOW_1)
    class_weighting: float = _setting(0.2, "0: rows count the same; 1: classes count the same; or between", SHARE)
    task_weighting: str = _setting("fixed", "how the heads' losses are weighted", choices=("fixed", "uncertainty"))
    task_weights: Mapping[str, float] = _setting(
        {}, "head = fixed weight; the others are 1", NOT_NEGATIVE, values=float
    )
    task_gradients: int = _setting(2, "steps of each epoch at which tasks' gradients are compared", at_least(0, 10_000))
    on_nan: str = _setting("stop", "at a loss or gradient that is not finite: stop, or skip the batch", choices=ON_NAN)
    select: str = _setting("", "HEAD.METRIC that chooses the epoch; by default accuracy and macro-F1 of what trains")
    weight_average: float = _setting(0.99, "decay of a running mean of the weights; 0: none", SHARE)
    threads: int = _setting(0, "threads that share each batch; 0: one for each core", at_least(0, 1000))

    def __post_init__(self) -> None:
        for setting in SETTINGS:
            self._check_setting(setting)
        _parts("freeze", self.freeze)
        self._check_data()
        check_pairs(self.two_stage)
        self.parsed_stages()
        self._check_sizes()

    def _check_setting(self, setting: "dataclasses.Field[Any]") -> None:
        """Kind, limit and choices: TOML, `--set` and callers can give anything."""
        name, about, default = setting.name, setting.metadata, DEFAULTS[setting.name]
        value: Any = getattr(self, name)
        if value is default is None:
            return
        kind = str if default is None else type(default)
        if about["values"]:
            _check(name, value, kind)
            for key, entry in value.items():
                _check(f"a key of {name}", key, str)
                _check(f"{name}.{key}", entry, about["values"], about["limit"])
        else:
            value = tuple(value) if kind is tuple and isinstance(value, list) else value  # TOML knows lists alone
            _check(name, value, kind, about["limit"])
            object.__setattr__(self, name, float(value) if kind is float else value)  # which may have no point
        if about["choices"] and value not in about["choices"]:
            raise InputError(f"unknown {name} {value!r}: choose from {', '.join(about['choices'])}")

    def _check_data(self) -> None:
        if self.data in (None, SYNTHETIC_NAME) and (self.text or self.labels):
            raise InputError("columns were named, but no CSV to find them in: pass --data as well")
        if self.data != SENTENCES_NAME and bool(self.text) != bool(self.labels):
            raise InputError("--text COLUMN and --label NAME=COLUMN go together; of a review file, neither is needed")
        if self.rules and self.labels:
            raise InputError("labels come from columns or from rules, not from both: leave one of labels, rules out")
        if self.rules and self.data == SENTENCES_NAME:
            raise InputError(f"rules are for review files; the {SENTENCES_NAME} have labels")
        read_rules(self.rules, self.words)
        check_head_names(heads := [*self.labels, *self.rules])
        if "text" in heads:
            raise InputError("a head cannot be called text, which is what predictions call the text itself")
        for head, kind in self.kinds.items():
            if kind not in HEAD_KINDS:
                raise InputError(f"kinds.{head} is {kind!r}; {suggestion(kind, HEAD_KINDS)}")
        if len(heads) > MOST_HEADS or max(map(len, heads), default=0) > MOST_HEADS:
            raise InputError(f"{len(heads)} heads; accepted are {MOST_HEADS}, with names of {MOST_HEADS} characters")
        if len({unicodedata.normalize("NFKC", head).casefold() for head in heads}) < len(heads):
            raise InputError(f"heads {', '.join(heads)}: two differ in case alone, and Windows would mix them up")

    def _check_sizes(self) -> None:
        """A shape that cannot work is refused before any work is done, and so is one that nobody would read."""
        config = self.encoder_config(self.vocab_size, pad_id=int(self.relative_buckets > 0))  # MPNet pads with 1
        architecture_for(config)  # what could not be saved is not trained
        weights = self.num_weights(config)
        if weights > MOST_WEIGHTS:
            raise InputError(f"these sizes make {weights:,} weights; at most {MOST_WEIGHTS:,} are accepted")
        if self.pretraining == "simcse" and self.batch_size < 2:
            raise InputError(f"batch_size {self.batch_size}: SimCSE compares the texts of a batch; it takes at least 2")
        if not self.pretraining and self.pretraining_epochs != DEFAULTS["pretraining_epochs"]:
            raise InputError("pretraining_epochs was given, but no pretraining: choose mlm or simcse")
        scratch = self.of_fields(EncoderConfig).keys() - OF_ANY_ENCODER | {"embeddings"}
        given = [name for name in DEFAULTS if name in scratch and getattr(self, name) != DEFAULTS[name]]
        if self.pretrained and given:
            raise InputError(f"{', '.join(given)}: leave out, {self.pretrained} has its own, or set pretrained to ''")

    def num_weights(self, c: EncoderConfig, classes: Sequence[int] = (0,)) -> int:
        """About how many weights an encoder and its heads have, of so many classes."""
        block = 4 * c.hidden_size**2 + (2 + bool(c.rotary)) * c.hidden_size * c.intermediate_size
        heads = sum(self.head_hidden * c.hidden_size + n * (self.head_hidden or c.hidden_size) for n in classes)
        return (c.vocab_size + c.max_length) * c.hidden_size + c.num_layers * block + heads

    def parsed_stages(self) -> tuple[Stage, ...]:
        """The stages; one of everything if there are none. `InputError` naming the stage that cannot be used."""
        stages: list[Stage] = []
        for number, stage in enumerate(self.stages, start=1):
            if isinstance(stage, Mapping):
                _check_keys(stage, [f.name for f in dataclasses.fields(Stage)], f"stage {number}: ")
            if not isinstance(stage, Mapping) or "train" not in stage:
                raise InputError(f"stage {number}: expected a table that says what trains, as in train = ['heads']")
            times = {name: value for name, value in stage.items() if name != "train"}
            for name, value in times.items():
                _check(f"stage {number}: {name}", value, float, NOT_NEGATIVE)
            stages.append(Stage(_parts(f"stage {number}: train", stage["train"]), **times))
        check_starts([stage.epoch for stage in stages], self.epochs)
        return tuple(stages) or (Stage(),)

    def of_fields(self, other: type) -> dict[str, Any]:
        """The settings that have the name of a field of the dataclass `other`."""
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(other) if f.name in DEFAULTS}

    def encoder_config(self, vocab_size: int, pad_id: int) -> EncoderConfig:
        """The part of the settings that an encoder from scratch is made of, and what its tokenizer turned out to be."""
        return EncoderConfig(**(self.of_fields(EncoderConfig) | {"vocab_size": vocab_size, "pad_id": pad_id}))


def _check(name: str, value: Any, kind: type, limit: Limit | None = None) -> None:
    """`InputError` unless the value is of a kind, and within the limit if there is one."""
    fits = isinstance(value, (float, int) if kind is float else kind)
    if not fits or (isinstance(value, bool) and kind is not bool):
        raise InputError(f"{name} must be {KINDS[kind]}, not {value!r:.60}")
    if limit and not limit.accepts(value):
        raise InputError(f"{name} must be {limit.words}, not {value!r:.60}")
    if kind is str and "\0" in value:
        raise InputError(f"{name} is {value!a:.60}, which holds a NUL")


def _parts(name: str, value: Any) -> tuple[str, ...]:
    """Parts of a model by name; one alone needs no list."""
    parts = (value,) if isinstance(value, str) else value
    if not isinstance(parts, list | tuple) or not all(isinstance(part, str) for part in parts):
        raise InputError(f"{name} must be a list of parts, not {value!r:.60}")
    return tuple(parts)


SETTINGS = dataclasses.fields(Experiment)
DEFAULTS: dict[str, Any] = {f.name: {} if f.default is dataclasses.MISSING else f.default for f in SETTINGS}


# --- recipes ---------------------------------------------------------------------------------------------------------

SAME_SETTING = {  # by its names in other programs
    "learning_rate": "lr",
    **dict.fromkeys(("num_epochs", "num_train_epochs", "n_epochs"), "epochs"),
    **dict.fromkeys(("random_state", "random_seed"), "seed"),
    "max_seq_length": "max_length",
}
ABOUT = ("about", "source", "encoder")  # what a recipe says of itself, beside its settings


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
        raise InputError(f"no recipe {name}: {suggestion(str(name), recipe_names())} (or give a .toml file)")
    settings = _toml(read_text(path), path)
    _check_keys(settings, [*DEFAULTS, *ABOUT], f"{path}: ")
    return settings


def experiment_of(*settings: Mapping[str, Any]) -> Experiment:
    """An experiment of settings by name, later ones before earlier ones, defaults for the rest."""
    together = {key: value for part in settings for key, value in part.items()}
    _check_keys(together, [*DEFAULTS, *ABOUT])
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
        raise InputError(f"expected key=value, as in lr=3e-5, not {assignment!r:.60}")
    _check("an assignment", assignment, str)
    try:
        document = _toml(f"value = {text}")
        value = document["value"] if len(document) == 1 else text  # a second line would be another key
    except InputError:
        value = text
    table, dot, inner = key.partition(".")
    _check_keys([table], list(DEFAULTS))
    if not dot:
        settings[key] = value
        return
    if not isinstance(settings.setdefault(table, {}), dict) or not isinstance(DEFAULTS[table], dict):
        raise InputError(f"{table} is not a table, so {key} cannot be set")
    settings[table] = {**settings[table], inner: value}


def _toml(text: str, where: os.PathLike[str] | str = "it") -> dict[str, Any]:
    """What TOML says; `InputError` if it is none, or too much for Python: numbers of 5,000 digits, 3,000 brackets."""
    try:
        settings = tomllib.loads(text)
        repr(settings)  # as a message would quote it
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where} is not TOML, or too deep: {error}") from None
    return settings


def _check_keys(keys: Iterable[str], known: list[str], where: str = "") -> None:
    for key in keys:
        if key not in known:
            near = suggestion(SAME_SETTING.get(key, key), known, "see minitx train --help")
            raise InputError(f"{where}unknown setting {key!r:.60}; {near}")
