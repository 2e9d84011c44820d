"""Model directories, read and written as sentence-transformers and transformers do.

    modules.json                                    the steps of encoding: Transformer, Pooling, perhaps Normalize
    config.json  model.safetensors                  sizes and weights of the transformer
    tokenizer.json  tokenizer_config.json           or the older vocab.txt, or vocab.json with merges.txt
    sentence_bert_config.json                       how many tokens a text is cut to
    1_Pooling/config.json                           how token vectors become one

A directory without modules.json is a plain transformers model: the vectors of its tokens are averaged. No setting that
would change a vector is ignored: what is not implemented is refused by name.
"""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from minitx.errors import InputError
from minitx.models.architectures import OTHER_USES, TOKEN_TYPES, Architecture, architecture_for, architecture_of
from minitx.models.config import EncoderConfig
from minitx.models.search import SIMILARITIES
from minitx.nn.module import Module
from minitx.nn.pooling import POOLING_MODES
from minitx.nn.position import SinusoidalPosition
from minitx.system import CONFIG, MODULES, WEIGHTS, Fields, brief, check_file, read_fields, read_json
from minitx.text.load import load_tokenizer
from minitx.text.tokenizer import Tokenizer
from minitx.writing import whole_file, write_json

MOST_HEADER = 10 << 20  # bytes of the header of a safetensors file: 100,000 tensors
MOST_WHOLE = 1 << 30  # bytes of a safetensors file that is read whole
MOST_LAYERS = 1000
LARGEST = 65504.0  # weight, of float16; beyond it, products of a few of them are infinite in float32
DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}  # NumPy has no BF16: the upper half of an F32
OLD_NAMES = {"gamma": "weight", "beta": "bias"}  # of LayerNorm
POOLING_KEYS = {"cls_token": "cls", "mean_tokens": "mean", "max_tokens": "max"}  # pooling_mode_... in older files


class Unwritten(np.random.Generator):
    """Gives zeros instead of random numbers, for a model whose weights are about to be read from a file."""

    def normal(self, loc: Any = 0.0, scale: Any = 1.0, size: Any = None) -> Any:  # noqa: D102 - as the class says
        return np.zeros(size, np.float32)

    def uniform(self, low: Any = 0.0, high: Any = 1.0, size: Any = None) -> Any:  # noqa: D102
        return np.zeros(size, np.float32)


@dataclass
class Pretrained:
    """What a model directory holds; of the weights, where they are."""

    weights_path: Path
    stored: dict[str, np.ndarray]  # the tensors there, as `_read_header` gives them
    architecture: Architecture
    config: EncoderConfig
    token_types: int  # rows of the table of token types; 0 for none
    tokenizer: Tokenizer
    max_seq_length: int
    similarity: str  # of `search.SIMILARITIES`


def read_directory(path: Path) -> Pretrained:
    """Read and check everything except the weights; `InputError` names the file, the key, and what is accepted.

    A config.json that asks for far more weights than the file has is refused before memory is asked for them.
    """
    folders = _read_modules(path / MODULES)
    root = path / folders["Transformer"]
    raw = read_fields(root / CONFIG)
    architecture = architecture_of(raw)
    config = architecture.read_config(raw)
    pooling = _read_pooling(path / folders["Pooling"] / "config.json", config) if "Pooling" in folders else "mean"
    config = replace(config, pooling=pooling, normalize="Normalize" in folders)
    tokenizer = load_tokenizer(root)
    if tokenizer.vocab_size > config.vocab_size:
        raise InputError(
            f"{root}: the tokenizer has {tokenizer.vocab_size} tokens, config.json says vocab_size "
            f"{config.vocab_size}: they are not of one model"
        )
    extra = read_fields(path / "config_sentence_transformers.json", optional=True)
    extra.choose("default_prompt_name", None)
    weights = root / WEIGHTS
    stored = _read_header(weights, architecture)
    block = 4 * config.hidden_size**2 + 2 * config.hidden_size * config.intermediate_size
    asked = (config.vocab_size + config.max_length) * config.hidden_size + config.num_layers * block
    found = min(sum(tensor.size for tensor in stored.values()), weights.stat().st_size // 2)  # tensors may share bytes
    if asked > 2 * found:
        raise InputError(f"{weights} has {found:,} weights, {CONFIG} asks for {asked:,}: they are not of one model")
    if config.num_layers > MOST_LAYERS:
        raise InputError(f"{raw.where}: {config.num_layers:,} layers; accepted are at most {MOST_LAYERS:,}")
    return Pretrained(
        weights,
        stored,
        architecture,
        config,
        raw.get("type_vocab_size", int, 2, least=1) if architecture.token_types else 0,
        tokenizer,
        _read_max_seq_length(root, tokenizer.spec.lowercase, config.max_length),
        extra.choose("similarity_fn_name", *SIMILARITIES),
    )


def _read_modules(file: Path) -> dict[str, str]:
    """Kind of module -> its folder, from modules.json; a directory without it is one Transformer."""
    if not os.path.lexists(file):  # a broken link is refused below
        return {"Transformer": ""}
    folders: dict[str, str] = {}
    order = ("Transformer", "Pooling", "Normalize")
    for entry in Fields({"modules": read_json(file)}, str(file)).each("modules"):
        kind = entry.get("type", str).rsplit(".", 1)[-1]
        if kind not in order[len(folders) :]:
            found = brief(entry.data["type"])
            raise InputError(f"{file}: module {found} is not implemented; accepted: {', '.join(order)}")
        folders[kind] = _read_folder(entry)
    if list(folders)[:2] != ["Transformer", "Pooling"]:
        raise InputError(f"{file} lists {', '.join(folders) or 'nothing'}; a Transformer and a Pooling are needed")
    return folders


def _read_folder(entry: Fields) -> str:
    """The folder of a module, which must be in the model directory.

    A name that is written in a file does not lead out of the directory on any system: no "..", no root, no drive. Links
    are followed, wherever they lead: they are not the file's to make, and the cache of Hugging Face consists of them.
    """
    name = entry.get("path", str)
    if name.startswith("/") or ".." in name.split("/") or {*name} & {*"\\:"} or not name.isprintable():
        raise InputError(f"{entry.where}: path is {brief(name)}; it must be a folder of the model directory")
    return name


def _read_pooling(path: Path, config: EncoderConfig) -> str:
    """The one pooling mode, from either spelling of the file."""
    data = read_fields(path)
    width = data.get("word_embedding_dimension", int, None) or data.get("embedding_dimension", int)
    if width != config.hidden_size:
        raise InputError(f"{path}: word_embedding_dimension is {width!r}, config.json says {config.hidden_size}")
    mode = data.data.get("pooling_mode")
    if mode is None:
        prefix = "pooling_mode_"
        modes = [key.removeprefix(prefix) for key, on in data.data.items() if key.startswith(prefix) and on is True]
        mode = POOLING_KEYS.get(modes[0], modes[0]) if len(modes) == 1 else modes
    if mode not in POOLING_MODES:
        raise InputError(
            f"{path}: pooling {brief(mode)} is not implemented; accepted: one of {', '.join(POOLING_MODES)}"
        )
    return mode


def _read_max_seq_length(root: Path, lowercase: bool, positions: int) -> int:
    """Tokens a text is cut to: as said for sentence-transformers, else for the tokenizer, else all positions."""
    files = sorted(root.glob("sentence_*_config.json"))  # sentence_bert_config.json, and older: sentence_roberta_...
    ours = read_fields(files[0]) if files else Fields({}, "")
    if ours.get("do_lower_case", bool, False) and not lowercase:
        raise InputError(f"{ours.where}: do_lower_case is on, but off in the tokenizer; accepted: both the same")
    ours.choose("module_output_name", "token_embeddings")
    tokenizer_config = read_fields(root / "tokenizer_config.json", optional=True)
    said = tokenizer_config.get("model_max_length", float, positions, least=1)  # 1e30 stands for "no limit"
    return min(ours.get("max_seq_length", int, int(min(said, positions)), least=1), positions)


# -- weights -----------------------------------------------------------------------------------------------------


def load_weights(module: Module, source: Pretrained) -> None:
    """Read the weights of `module`, a SentenceEncoder of `source.config`, from the file.

    Raises:
        InputError: the file is damaged, or tensors are missing, unexpected or misshapen: one line lists them all.
    """
    path, found, architecture = source.weights_path, source.stored, source.architecture
    parameters = dict(module.named_parameters())
    names = architecture.names(parameters)
    first = architecture.first_position(source.config.pad_id)
    shapes = {names[name]: parameter.shape for name, parameter in parameters.items()}
    position = names["position.weight"]
    shapes[position] = (shapes[position][0] + first, shapes[position][1])
    if source.token_types:
        shapes[TOKEN_TYPES] = (source.token_types, source.config.hidden_size)
    problems = [
        f"{name} has shape {found[name].shape}, {CONFIG} asks for {shape}"
        for name, shape in shapes.items()
        if name in found and found[name].shape != shape
    ]
    missing = [name for name in shapes if name not in found]
    unexpected = [name for name in found if name not in shapes and not OTHER_USES.match(name)]
    lists = {"missing": missing, "unexpected": [repr(name)[1:-1] for name in unexpected]}
    problems += [f"{what} {', '.join(listed)}" for what, listed in lists.items() if listed]
    if problems:
        raise InputError(f"{path}: {'; '.join(problems)}")
    for name, parameter in parameters.items():
        parameter.data = _float32(source, names[name])
    table = parameters["position.weight"]
    table.data = table.data[first:].copy()
    if source.token_types:
        table.data += _float32(source, TOKEN_TYPES)[0]


def _float32(source: Pretrained, name: str) -> np.ndarray:
    """A tensor of the file as float32, in memory of its own; `InputError` if a number cannot be computed with."""
    array = source.stored[name]
    if array.dtype == DTYPES["BF16"]:
        array = (array.astype(np.uint32) << 16).view(np.float32)
    else:
        with np.errstate(over="ignore"):  # the infinity is refused below
            array = np.array(array, np.float32)
    for extreme in (array.max(initial=0), array.min(initial=0)):  # both are NaN if there is one
        if not abs(extreme) <= LARGEST:
            raise InputError(f"{source.weights_path}: {name} holds {extreme:g}; accepted: at most {LARGEST:g}")
    return array


def _read_header(path: Path, architecture: Architecture) -> dict[str, np.ndarray]:
    """What the file holds, floating-point tensors only. The library checks that header and file agree.

    By their names of today: no prefix, such as `bert.` of a model with a head; no gamma, no beta. The arrays are views
    of the file, read as they are used; BF16 comes as integers.
    """
    if not path.exists():
        old = ": it has pytorch_model.bin, which can run code when read; convert it to safetensors" * (
            path.with_name("pytorch_model.bin").exists()
        )
        raise InputError(f"{path}: no such file{old}")
    check_file(path)
    tensors = {}
    try:
        file = np.asarray(np.memmap(path, np.uint8, "r"))
        start = 8 + int.from_bytes(file[:8], "little")
        if start > 8 + MOST_HEADER:
            raise ValueError(f"a header of {start - 8:,} bytes, where at most {MOST_HEADER:,} are accepted")
        with safetensors.safe_open(path, framework="numpy"):
            pass
        header = json.loads(bytes(file[8:start]))
        for name, kept in (header.pop("__metadata__", None) or {}).items():
            if kept in header:  # one of two tied tensors was stored, and the metadata says under which name
                header.setdefault(name, header[kept])
        for name, entry in header.items():
            if entry["dtype"] in DTYPES:
                name = name.removeprefix(architecture.model_type.replace("-", "_") + ".")
                name = re.sub(r"(?<=LayerNorm\.)(gamma|beta)$", lambda old: OLD_NAMES[old[1]], name)
                begin, end = entry["data_offsets"]
                tensors[name] = file[start + begin : start + end].view(DTYPES[entry["dtype"]]).reshape(entry["shape"])
    except (safetensors.SafetensorError, OSError, ValueError, OverflowError) as error:
        raise InputError(f"{path} is not a complete safetensors file: {repr(str(error))[1:-1]:.300}") from error
    return tensors


# -- writing -----------------------------------------------------------------------------------------------------


def write_directory(
    directory: Path,
    module: Module,
    config: EncoderConfig,
    tokenizer: Tokenizer,
    max_seq_length: int,
    similarity: str,
) -> None:
    """Write `module`, a SentenceEncoder, into an existing directory, in the layout that old and new versions read."""
    architecture = architecture_for(config)
    if architecture.positions_after_pad and tokenizer.pad_id != config.pad_id:  # positions are counted by ids there
        raise InputError(f"the tokenizer's padding id is {tokenizer.pad_id}, the encoder's {config.pad_id}")
    folders = {"Transformer": "", "Pooling": "1_Pooling"} | ({"Normalize": "2_Normalize"} if config.normalize else {})
    modules = [
        {"idx": i, "name": str(i), "path": folder, "type": f"sentence_transformers.models.{kind}"}
        for i, (kind, folder) in enumerate(folders.items())
    ]
    write_json(directory / MODULES, modules)
    for folder in folders.values():
        (directory / folder).mkdir(exist_ok=True)
    pooling = {f"pooling_mode_{key}": mode == config.pooling for key, mode in POOLING_KEYS.items()}
    write_json(
        directory / "1_Pooling" / "config.json",
        {"word_embedding_dimension": config.hidden_size, **pooling, "pooling_mode_mean_sqrt_len_tokens": False},
    )
    write_json(directory / CONFIG, architecture.write_config(config))
    write_json(directory / "sentence_bert_config.json", {"max_seq_length": max_seq_length, "do_lower_case": False})
    write_json(
        directory / "config_sentence_transformers.json",
        {"prompts": {}, "default_prompt_name": None, "similarity_fn_name": similarity},
    )
    tokenizer.save(directory / "tokenizer.json")
    write_json(directory / "tokenizer_config.json", _tokenizer_config(tokenizer, max_seq_length))
    write_weights(directory / WEIGHTS, _foreign_weights(module, architecture, config))


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


def _tokenizer_config(tokenizer: Tokenizer, max_seq_length: int) -> dict[str, Any]:
    roles = {"pad_token": tokenizer.pad_id, "cls_token": tokenizer.cls_id, "sep_token": tokenizer.sep_id}
    tokens = {role: tokenizer.id_to_token(id) for role, id in roles.items()}
    if tokenizer.model == "WordPiece":
        tokens["unk_token"] = tokenizer.spec.unk_token
    if mask := next((token for token in ("<mask>", "[MASK]") if tokenizer.token_to_id(token) is not None), None):
        tokens["mask_token"] = mask
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",  # takes tokenizer.json as it is
        "model_max_length": max_seq_length,
        "model_input_names": ["input_ids", "attention_mask"],
        **tokens,
    }


def _foreign_weights(module: Module, architecture: Architecture, config: EncoderConfig) -> dict[str, np.ndarray]:
    """The weights by the architecture's names.

    A sinusoid is written as a table of positions, and the factor √D of `SinusoidalPosition` goes into the embeddings:
    their sums are then the same to the last bit.
    """
    weights = module.state_dict()
    if config.positions == "sinusoidal":
        position = SinusoidalPosition(config.max_length, config.hidden_size)
        weights["position.weight"] = position.table
        weights["embedding.weight"] = weights["embedding.weight"] * position.scale
    unused = np.zeros((architecture.first_position(config.pad_id), config.hidden_size), np.float32)
    weights["position.weight"] = np.concatenate([unused, weights["position.weight"]])
    names = architecture.names(weights)
    foreign = {names[name]: np.asarray(array, np.float32) for name, array in weights.items()}
    if architecture.token_types:
        foreign[TOKEN_TYPES] = np.zeros((1, config.hidden_size), np.float32)
    return foreign
