"""What sentence-transformers does with the vectors of tokens: modules.json, and the folder of each module in it.

modules.json                                    the steps of encoding, in order
1_Pooling/config.json                           how token vectors become one
2_Dense/config.json  2_Dense/model.safetensors  a layer on top; as many as there are
3_Normalize                                     to length 1; here and there
"""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from minitx.errors import InputError
from minitx.models.config import EncoderConfig
from minitx.models.known_keys import MODULE_KEYS, refuse_unknown
from minitx.models.weights import read_stored, write_weights
from minitx.nn.rare import ACTIVATIONS, POOLING_MODES, Dense, DenseConfig
from minitx.system import CONFIG, MODULES, WEIGHTS, Fields, brief, read_fields, read_json
from minitx.writing import write_json

# The names of a module's class: until 5.3, in 5.4, from 6.0; its last part alone may be anybody's class.
_ROOMS = r"(?:models|sentence_transformer\.modules|base\.modules)(?:\.\w+)?"
_TYPE = re.compile(rf"sentence_transformers\.{_ROOMS}\.(Transformer|Pooling|Dense|Normalize)")
# pooling_mode_... of older files -> the mode, in the order in which they are put side by side.
OLD_POOLING = {"cls_token": "cls", "max_tokens": "max", "mean_tokens": "mean"}
OLD_POOLING |= {"mean_sqrt_len_tokens": "mean_sqrt_len_tokens", "weightedmean_tokens": "weightedmean"}
OLD_POOLING |= {"lasttoken": "lasttoken"}
# torch gives each of its classes two names.
_TORCH = {name: "linear" if name == "Identity" else "activation" for name in ACTIVATIONS}
ACTIVATION_NAMES = {f"torch.nn.{name}": name for name in _TORCH}
ACTIVATION_NAMES |= {f"torch.nn.modules.{file}.{name}": name for name, file in _TORCH.items()}


@dataclass
class Modules:
    """Where the transformer is, what follows it, and the weights of what follows."""

    transformer: Path
    after: list[tuple[str, Path]] = field(default_factory=list)  # kind and folder
    weights: list[tuple[Path, dict[str, np.ndarray]]] = field(default_factory=list)  # of each Dense

    def read_config(self, config: EncoderConfig) -> EncoderConfig:
        """`config` with what follows the transformer; reads the weights of Dense modules too."""
        width, dense, normalize = config.hidden_size, list[DenseConfig](), False
        for kind, folder in self.after:
            if kind == "Pooling":
                config = replace(config, pooling=_read_pooling(folder / CONFIG, width))
                width = config.width
            elif kind == "Normalize":
                _check_features(read_fields(folder / CONFIG, optional=True))
                normalize = True
            else:
                layer, weights = _read_dense(folder, width, normalize)
                dense.append(layer)
                self.weights.append(weights)
                width, normalize = layer.out_features, False
        return replace(config, dense=tuple(dense), normalize=normalize)


def read_modules(path: Path) -> Modules | None:
    """What modules.json lists; None for a directory without it. `InputError` names what is not implemented."""
    file = path / MODULES
    if not os.path.lexists(file):  # a broken link is refused below
        return None
    modules: list[tuple[str, Path]] = []
    names = set[str]()
    for entry in Fields({"modules": read_json(file)}, str(file)).each("modules"):
        if not (found := _TYPE.fullmatch(said := entry.get("type", str))):
            accepted = "sentence_transformers.models.Transformer, .Pooling, .Dense and .Normalize"
            raise InputError(f"{file}: module {brief(said)} is not implemented; accepted: {accepted}")
        modules.append((found[1], path / _read_folder(entry)))
        refuse_unknown(entry, MODULE_KEYS)
        names.add(str(entry.data.get("name", len(names))))
    kinds = [kind for kind, _ in modules]
    if kinds[:2] != ["Transformer", "Pooling"] or {*kinds[2:]} & {*kinds[:2]} or len(names) < len(modules):
        after = "a Transformer and a Pooling are needed, then only Dense and Normalize, each with a name of its own"
        raise InputError(f"{file} lists {', '.join(kinds) or 'nothing'}; {after}")
    return Modules(modules[0][1], modules[1:])


def _read_folder(entry: Fields) -> str:
    """The folder of a module, which must be in the model directory.

    A name that is written in a file does not lead out of the directory on any system: no "..", no root, no drive. Links
    are followed, wherever they lead: they are not the file's to make, and the cache of Hugging Face consists of them.
    """
    name = entry.get("path", str)
    if name.startswith("/") or ".." in name.split("/") or {*name} & {*"\\:"} or not name.isprintable():
        raise InputError(f"{entry.where}: path is {brief(name)}; it must be a folder of the model directory")
    return name


def _check_features(fields: Fields) -> None:
    """What a module reads and writes is the sentence's vector, and besides it says only what has been read."""
    for key in ("module_input_name", "module_output_name"):
        fields.choose(key, "sentence_embedding")
    refuse_unknown(fields)


def _read_pooling(path: Path, hidden_size: int) -> str:
    """The pooling modes, joined by "+", from either spelling of the file."""
    data, prefix, widths = read_fields(path), "pooling_mode_", {"embedding_dimension", "word_embedding_dimension"}
    for key in [key for key in data.data if key in widths] or ["word_embedding_dimension"]:
        if (width := data.get(key, int)) != hidden_size:
            raise InputError(f"{path}: {key} is {width!r}, config.json says {hidden_size}")
    data.choose("include_prompt", True)
    refuse_unknown(data, {"pooling_mode", *(prefix + key for key in OLD_POOLING)})
    modes = data.data.get("pooling_mode")
    if modes is None:
        modes = [mode for key, mode in OLD_POOLING.items() if data.get(prefix + key, bool, False)] or ["mean"]
    modes = modes if isinstance(modes, list) else [modes]
    if not modes or any(mode not in POOLING_MODES for mode in modes):
        raise InputError(f"{path}: pooling {brief(modes)} is not implemented; accepted: {', '.join(POOLING_MODES)}")
    return "+".join(modes)


def _read_dense(folder: Path, width: int, normalize: bool) -> tuple[DenseConfig, tuple[Path, dict[str, np.ndarray]]]:
    data = read_fields(folder / CONFIG)
    said = data.choose("activation_function", "torch.nn.modules.activation.Tanh", *ACTIVATION_NAMES)
    if (found := data.get("in_features", int)) != width:
        raise InputError(f"{data.where}: in_features is {found}, but the vectors that reach it have {width} numbers")
    data.choose("use_residual", False)
    out, bias = data.get("out_features", int, least=1), data.get("bias", bool, True)
    _check_features(data)
    path, stored = read_stored(folder)
    wanted = {"linear.weight": (out, width)} | ({"linear.bias": (out,)} if bias else {})
    if (shapes := {name: tensor.shape for name, tensor in stored.items()}) != wanted:
        raise InputError(f"{path} holds {brief(shapes)}, {CONFIG} asks for {brief(wanted)}")
    return DenseConfig(width, out, bias, ACTIVATION_NAMES[said], normalize), (path, stored)


def write_modules(directory: Path, config: EncoderConfig, dense: Sequence[Dense]) -> None:
    """Write modules.json and all that follows the transformer, in the layout that old and new versions read."""
    after: list[Dense | None] = []  # None scales to length 1
    for layer in dense:
        after += [None, layer] if layer.config.normalize else [layer]
    after += [None] if config.normalize else []
    kinds = ["Transformer", "Pooling", *("Dense" if step else "Normalize" for step in after)]
    rows = [
        {"idx": i, "name": str(i), "path": f"{i}_{kind}" if i else "", "type": f"sentence_transformers.models.{kind}"}
        for i, kind in enumerate(kinds)
    ]
    write_json(directory / MODULES, rows)
    folders = [directory / str(row["path"]) for row in rows]
    for folder in folders:
        folder.mkdir(exist_ok=True)
    modes = config.pooling.split("+")
    pooling: dict[str, Any] = {f"pooling_mode_{key}": mode in modes for key, mode in OLD_POOLING.items()}
    if modes != [mode for mode in OLD_POOLING.values() if mode in modes]:  # which no version before 5.4 can read
        pooling = {"pooling_mode": modes}
    write_json(folders[1] / CONFIG, {"word_embedding_dimension": config.hidden_size, **pooling})
    for folder, step in zip(folders[2:], after, strict=True):
        if step:
            c, name = step.config, f"torch.nn.modules.{_TORCH[step.config.activation]}.{step.config.activation}"
            row = {"in_features": c.in_features, "out_features": c.out_features, "bias": c.bias}
            write_json(folder / CONFIG, row | {"activation_function": name})
            write_weights(folder / WEIGHTS, step.state_dict())
