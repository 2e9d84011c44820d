"""Files of weights: safetensors, in one piece or in shards, read as they are used and never run.

model.safetensors                                              everything
model.safetensors.index.json  model-00001-of-00002....         or shards, and which tensor is in which of them
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import safetensors
import safetensors.numpy

from minitx.errors import InputError
from minitx.system import WEIGHTS, brief, check_file, read_fields
from minitx.writing import whole_file

MOST_HEADER = 10 << 20  # bytes of the header of a safetensors file: 100,000 tensors
MOST_WHOLE = 1 << 30  # bytes of a safetensors file that is read whole
LARGEST = 65504.0  # weight, of float16; beyond it, products of a few of them are infinite in float32
DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}  # NumPy has no BF16: the upper half of an F32
INDEX = f"{WEIGHTS}.index.json"
SHARD = re.compile(r"\w[\w.-]*\.safetensors")  # a name that cannot lead out of the directory
OLD_NAMES = {"gamma": "weight", "beta": "bias"}  # of LayerNorm


def read_stored(folder: Path, prefix: str = "") -> tuple[Path, dict[str, np.ndarray]]:
    """The file to name in messages, and the floating-point tensors of a folder as views of its files.

    By their names of today: without `prefix`, such as the `bert.` of a model with a head; no gamma, no beta. BF16 comes
    as integers. As transformers does it, model.safetensors comes before an index of shards.

    Raises:
        InputError: there is neither, a file is damaged, or index and shards do not say the same.
    """
    path = folder / WEIGHTS
    if path.exists() or not (folder / INDEX).exists():
        stored = _read_file(path)
    else:
        path, stored = folder / INDEX, _read_shards(folder / INDEX)
    tensors: dict[str, np.ndarray] = {}
    for name, tensor in stored.items():
        if tensor is not None:
            name = re.sub(r"(?<=LayerNorm\.)(gamma|beta)$", lambda old: OLD_NAMES[old[1]], name.removeprefix(prefix))
            if tensor is not tensors.setdefault(name, tensor):
                raise InputError(f"{path} holds {brief(name)} twice, with and without {prefix or 'its old name'}")
    return path, tensors


def _read_shards(index: Path) -> dict[str, np.ndarray | None]:
    """All tensors of the shards, each of which must be in the one shard that the index names."""
    places = read_fields(index).within("weight_map")
    shards: dict[str, set[str]] = {}
    for name in places.data:
        if not SHARD.fullmatch(shard := places.get(name, str)):
            raise InputError(f"{places.where}: {brief(name)} is in {brief(shard)}; accepted: a file beside the index")
        shards.setdefault(shard, set()).add(name)
    tensors: dict[str, np.ndarray | None] = {}
    for shard, listed in shards.items():
        found = _read_file(index.with_name(shard))
        if differ := sorted(listed ^ found.keys()):
            where = "the index says so, but the shard does not hold it" if differ[0] in listed else "not by the index"
            raise InputError(f"{index.with_name(shard)}: is {brief(differ[0])} in it? {where}")
        tensors |= found
    return tensors


def _read_file(path: Path) -> dict[str, np.ndarray | None]:
    """Name -> tensor, None for one that is not of floats. The library checks that header and file agree."""
    if not path.exists():
        old = ": it has pytorch_model.bin, which can run code when read; convert it to safetensors"
        raise InputError(f"{path}: no such file" + old * path.with_name("pytorch_model.bin").exists())
    check_file(path)
    tensors: dict[str, np.ndarray | None] = {}
    try:
        file = np.asarray(np.memmap(path, np.uint8, "r"))
        start = 8 + int.from_bytes(file[:8], "little")
        if start > 8 + MOST_HEADER:
            raise ValueError(f"a header of {start - 8:,} bytes, where at most {MOST_HEADER:,} are accepted")
        with safetensors.safe_open(path, framework="numpy"):
            pass
        header = json.loads(bytes(file[8:start]))
        tied = header.pop("__metadata__", None) or {}
        for name, entry in header.items():
            begin, end = entry["data_offsets"]
            kind = DTYPES.get(entry["dtype"])
            tensors[name] = file[start + begin : start + end].view(kind).reshape(entry["shape"]) if kind else None
        for name, kept in tied.items():  # one of two tied tensors was stored, and the metadata says under which name
            if kept in tensors:
                tensors.setdefault(name, tensors[kept])
    except (safetensors.SafetensorError, OSError, ValueError, OverflowError) as error:
        raise InputError(f"{path} is not a complete safetensors file: {repr(str(error))[1:-1]:.300}") from error
    return tensors


def as_float32(tensor: np.ndarray, name: str, path: Path) -> np.ndarray:
    """A tensor of `read_stored` as float32, in memory of its own; `InputError` if a number cannot be computed with."""
    if tensor.dtype == DTYPES["BF16"]:
        array = (tensor.astype(np.uint32) << 16).view(np.float32)
    else:
        with np.errstate(over="ignore"):  # the infinity is refused below
            array = np.array(tensor, np.float32)
    for extreme in (array.max(initial=0), array.min(initial=0)):  # both are NaN if there is one
        if not abs(extreme) <= LARGEST:
            raise InputError(f"{path}: {name} holds {extreme:g}; accepted: at most {LARGEST:g}")
    return array


def write_weights(path: Path, weights: Mapping[str, np.ndarray]) -> None:
    """Write a safetensors file that torch reads too, with the permissions of other new files.

    The library saves a transposed array's memory as it lies, scrambled, and makes the files of `save_file` private.
    """
    contiguous = {name: np.ascontiguousarray(array) for name, array in weights.items()}
    with whole_file(path) as partial:
        partial.write_bytes(safetensors.numpy.save(contiguous, {"format": "pt"}))


def read_tensors(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The arrays of a safetensors file that minitx wrote, and its metadata; `InputError` for any other file."""
    check_file(path, MOST_WHOLE)
    try:
        with safetensors.safe_open(path, "numpy") as file:
            arrays, metadata = {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (safetensors.SafetensorError, OSError, MemoryError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: {error}") from error  # the last two: NumPy has no such numbers
    for name, array in arrays.items():
        if array.dtype != np.uint64 and not (array.dtype.kind == "f" and (np.abs(array) <= LARGEST).all()):
            raise InputError(f"{path}: {name} holds {array.dtype}, NaN or more than {LARGEST:g}; expected floats")
    return arrays, metadata
