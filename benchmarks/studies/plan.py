"""Studies as they were written down before they ran: a TOML each, of which the folder `benchmarks/studies` is full.

rank        order of running: first what a practitioner would do differently, were the answer another one
question    what is asked, in a sentence
claims      what the write-ups say, and where
base        recipe that all arms start from; "" for the defaults of `minitx train`
settings    what all arms have in common beside it
metric      the figure that decides, one of `measure.figures`; all others are shown, and get no verdict
margin      two ways whose figures differ by less than this count as equal
looks       numbers of seeds after which verdicts may be given; two looks halve the level of each
every       steps between two looks at the validation rows, for metrics such as "sentiment steps to 0.75"
reference   the arm that others are compared with
arms        name -> settings that it has beside these, and
                base         a recipe of its own
                against      another reference
                after        settings of a training that comes first, whose weights it goes on with
                tune         setting -> values to choose from, on the validation rows of the `TUNING` seeds, which are
                             none of the seeds that are reported
                procedure    what settings cannot say: a function in `measure.PROCEDURES`
needs       settings that this tree may not have yet; the study waits until it has
makes       the command that makes a directory which an arm reads
note        what a reader of the verdict has to know
"""

import dataclasses
import hashlib
import itertools
import json
import math
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, get_origin

from minitx.app.settings import DEFAULTS, Experiment, experiment_of, read_recipe
from minitx.data.samples import SYNTHETIC_NAME
from minitx.errors import InputError, suggestion
from minitx.system import file_hash

HERE = Path(__file__).parent
TUNING = (100, 101, 102)
OF_AN_ARM = {"base": str, "against": str, "after": dict, "tune": dict, "procedure": str}
PROCEDURES = ("", "without positions")
# What every run has from the command, and what comes after training, of which `measure` looks at nothing.
NOT_AN_ARMS = ("data", "seed", "threads", "task_gradients", "wide", "calibrate", "decide")
METRIC = (
    r"seconds|(?P<head>[\w-]+) (accuracy|macro-F1|train accuracy|gap|recall of .+|AP of .+|steps to (?P<to>0?\.\d+))"
)


@dataclass(frozen=True)
class Run:
    """One training, told apart from all others by its key; `first` is the one whose weights it goes on with."""

    experiment: Experiment
    first: Experiment | None = None
    procedure: str = ""
    every: int = 0

    def told(self) -> dict[str, Any]:
        """All that decides its figures beside the data: what differs from the defaults."""
        more: dict[str, Any] = {"procedure": self.procedure, "every": self.every}
        first = {} if self.first is None else {"first": _changed(self.first)}
        given = {name: value for name, value in more.items() if value}
        return {"settings": _changed(self.experiment)} | given | first

    def begins_with(self) -> Experiment | None:
        """What has to be learned before it, and may serve other arms of its seed: a training, or texts without labels.

        Of the latter, the rows that are labelled make no difference: pretraining reads all of the training split.
        """
        if self.first is None and self.experiment.pretraining:
            return dataclasses.replace(self.experiment, train_rows=0)
        return self.first

    def key(self, data: str) -> str:
        """A name for it, given the fingerprint of the data; of a model directory, its files count."""
        model = Path(self.experiment.pretrained) if self.experiment.pretrained else None
        files = sorted(p for p in model.rglob("*") if p.suffix in (".safetensors", ".json", ".txt")) if model else []
        weights = [fingerprint(str(file)) for file in files]
        return hashlib.sha256(json.dumps([self.told(), data, *weights], sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Arm:
    """One way of doing it."""

    name: str
    against: str  # the arm it is compared with; "" for a reference
    settings: dict[str, Any]  # of the recipe, the study and the arm, but for data and seed
    first: dict[str, Any] | None = None  # of the training that comes first, likewise
    tune: dict[str, list[Any]] = field(default_factory=dict)
    procedure: str = ""
    every: int = 0

    def candidates(self) -> list[dict[str, Any]]:
        """Every combination of the values to choose from; one empty one if there is nothing to choose."""
        return [dict(zip(self.tune, values, strict=True)) for values in itertools.product(*self.tune.values())]

    def run(self, data: str | None, seed: int, chosen: Mapping[str, Any]) -> Run:
        """One run of it, with the values that were chosen."""
        common = {"data": data, "seed": seed, "task_gradients": 0, "threads": 1}
        later = experiment_of(self.settings, chosen, common)
        first = None if self.first is None else experiment_of(self.first, common)
        return Run(later, first, self.procedure, self.every)


@dataclass(frozen=True)
class Question:
    """A study, as its file states it."""

    name: str
    rank: int
    question: str
    claims: list[str]
    metric: str
    reference: str
    arms: dict[str, Any]
    base: str = "minilm-reviews"
    settings: dict[str, Any] = field(default_factory=dict)
    margin: float = 0.02
    looks: list[int] = field(default_factory=lambda: [10])
    every: int = 0
    needs: list[str] = field(default_factory=list)
    makes: str = ""
    note: str = ""

    def waits_for(self) -> str:
        """What has to be there before it can run; nothing if it can."""
        missing = [name for name in self.needs if name not in DEFAULTS and not Path(name).is_dir()]
        made = f": {self.makes}" if self.makes and missing else ""
        return f"{', '.join(missing)}{made}" if missing else ""

    def ways(self) -> list[Arm]:
        """Its arms. `InputError` for settings that do not exist or cannot work."""
        return [self._arm(name, dict(own)) for name, own in self.arms.items()]

    def _arm(self, name: str, own: dict[str, Any]) -> Arm:
        about = {key: own.pop(key) for key in OF_AN_ARM if key in own}
        against = about.get("against", self.reference)
        recipe = read_recipe(base) if (base := about.get("base", self.base)) else {}
        settings = {**recipe, **self.settings}
        first = {**settings, **about["after"]} if "after" in about else None
        against = "" if name in (against, self.reference) else against
        tune, procedure = about.get("tune", {}), about.get("procedure", "")
        arm = Arm(name, against, {**settings, **own}, first, tune, procedure, self.every)
        for chosen in arm.candidates():
            arm.run(None, 0, chosen)
        return arm


def _changed(experiment: Experiment) -> dict[str, Any]:
    """Settings that are not the defaults, as JSON has them; but for the data, which has a fingerprint."""
    settings = json.loads(json.dumps(dataclasses.asdict(experiment)))
    defaults = json.loads(json.dumps(DEFAULTS))
    return {name: value for name, value in settings.items() if value != defaults[name] and name != "data"}


def read_study(path: Path) -> Question:
    """A study from its file; `InputError`, with the file's name, for whatever is not understood in it."""
    try:
        told = tomllib.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path.name} is not TOML: {error}") from None
    known = {f.name: f for f in dataclasses.fields(Question) if f.name != "name"}
    for key in told:
        if key not in known:
            raise InputError(f"{path.name}: unknown key {key!r}; {suggestion(key, list(known))}")
        _check(f"{path.name}: {key}", told[key], get_origin(known[key].type) or known[key].type)
    needed = [f.name for f in known.values() if f.default is f.default_factory is dataclasses.MISSING]
    if missing := [key for key in needed if key not in told]:
        raise InputError(f"{path.name}: {', '.join(missing)} is missing")
    study = Question(path.stem, **told)
    looks = study.looks
    for key in ("claims", "needs"):
        for text in getattr(study, key):
            _check(f"{path.name}: {key}", text, str)
    for look in looks:
        _check(f"{path.name}: looks", look, int)
    if not looks or looks != sorted(set(looks)) or looks[0] < 2 or looks[-1] >= min(TUNING):
        raise InputError(f"{path.name}: looks are {looks}; expected ascending numbers of seeds, 2 to {min(TUNING) - 1}")
    if not 0 < study.margin < math.inf:
        raise InputError(f"{path.name}: margin is {study.margin}; expected more than 0")
    heads = {"sentiment", "engagement"}
    for own in ({"base": study.base}, study.settings, *(own for own in study.arms.values() if isinstance(own, dict))):
        recipe = read_recipe(own["base"]) if own.get("base") else {}
        heads |= {
            *own.get("rules", {}),
            *own.get("two_stage", {}),
            *recipe.get("rules", {}),
            *recipe.get("two_stage", {}),
        }
        if refused := [key for key in (*own, *own.get("after", {})) if key in NOT_AN_ARMS]:
            raise InputError(
                f"{path.name}: {refused[0]} is the same for every arm, or changes nothing that is measured"
            )
    metric = re.fullmatch(METRIC, study.metric)
    if not metric or (metric["head"] or "sentiment") not in heads:
        raise InputError(
            f"{path.name}: metric is {study.metric!r}; expected seconds, or one of {', '.join(sorted(heads))}'s"
        )
    if study.every < 0 or bool(metric["to"]) != bool(study.every):
        raise InputError(
            f"{path.name}: every is {study.every}; expected steps for a metric such as 'sentiment steps to 0.75', or 0"
        )
    for name, own in study.arms.items():
        _check(f"{path.name}: {name}", own, dict)
        for key, kind in OF_AN_ARM.items():
            _check(f"{path.name}: {name}: {key}", own.get(key, kind()), kind)
        for key, values in own.get("tune", {}).items():
            _check(f"{path.name}: {name}: tune.{key}", values, list)
            if not values:
                raise InputError(f"{path.name}: {name}: tune.{key} is empty; expected values to choose from")
        for key in ("against", "procedure"):
            accepted = list(study.arms) if key == "against" else list(PROCEDURES)
            if own.get(key, accepted[0]) not in accepted:
                raise InputError(f"{path.name}: {name}: {key} is {own[key]!r}; {suggestion(own[key], accepted)}")
    if study.reference not in study.arms:
        raise InputError(f"{path.name}: reference is {study.reference!r}; {suggestion(study.reference, study.arms)}")
    if not study.waits_for():
        try:
            study.ways()
        except InputError as error:
            raise InputError(f"{path.name}: {error}") from None
    return study


def _check(what: str, value: Any, kind: Any) -> None:
    """`InputError` unless a value is of a kind."""
    accepted = isinstance(value, (int, float) if kind is float else kind) and not isinstance(value, bool)
    if not accepted:
        named = {int: "a whole number", str: "a text", list: "a list", dict: "a table", float: "a number"}[kind]
        raise InputError(f"{what} must be {named}, not {value!r:.60}")


@cache
def studies() -> dict[str, Question]:
    """All studies, the highest rank first."""
    found = [read_study(path) for path in sorted(HERE.glob("*.toml")) if path.stem != "untestable"]
    return {study.name: study for study in sorted(found, key=lambda study: (study.rank, study.name))}


def untestable() -> list[dict[str, str]]:
    """Claims that no run can test here, each with the reason."""
    rows = tomllib.loads((HERE / "untestable.toml").read_text(encoding="utf-8"))["claim"]
    if any(list(row) != ["says", "source", "reason"] for row in rows):
        raise InputError("untestable.toml: each claim has says, source and reason, in this order")
    return rows


def fingerprint(data: str | None) -> str:
    """Of the file of reviews, wherever it is; of what the synthetic ones are made of, without one."""
    if data is None or data == SYNTHETIC_NAME:
        return SYNTHETIC_NAME
    return file_hash(Path(data))[:16]
