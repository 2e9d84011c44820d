"""Model directories, read and written as sentence-transformers and transformers do.

    modules.json                                    the steps of encoding; see `models.modules`
    config.json  model.safetensors                  sizes and weights of the transformer; see `models.weights`
    tokenizer.json  tokenizer_config.json           or the older vocab.txt, or vocab.json with merges.txt
    sentence_bert_config.json                       how many tokens a text is cut to
    config_sentence_transformers.json               prompts, how vectors are compared, to how many numbers they are cut

A directory without modules.json is a plain transformers model: the vectors of its tokens are averaged. No setting that
would change a vector is ignored: what is not implemented is refused by name, and so is a key that nobody knows.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from minitx.errors import InputError
from minitx.models.architectures import OTHER_USES, TOKEN_TYPES, Architecture, architecture_for, architecture_of
from minitx.models.config import EncoderConfig
from minitx.models.known_keys import LOADING, LOADING_KEYS, TRANSFORMER_KEYS, USAGE_KEYS, refuse_unknown
from minitx.models.modules import Modules, read_modules, write_modules
from minitx.models.search import SIMILARITIES
from minitx.models.weights import as_float32, read_stored, write_weights
from minitx.nn.module import Module
from minitx.nn.position import SinusoidalPosition
from minitx.nn.rare import Dense
from minitx.system import CONFIG, WEIGHTS, Fields, read_fields
from minitx.text.load import load_tokenizer
from minitx.text.tokenizer import Tokenizer
from minitx.writing import write_json

MOST_LAYERS = 1000
# What sentence-transformers looks for, in this order; the first that says anything counts.
_KINDS = ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
SENTENCE_CONFIGS = [f"sentence_{kind}_config.json" for kind in _KINDS]


class Unwritten(np.random.Generator):
    """Gives zeros instead of random numbers, for a model whose weights are about to be read from a file."""

    def normal(self, loc: Any = 0.0, scale: Any = 1.0, size: Any = None) -> Any:  # noqa: D102 - as the class says
        return np.zeros(size, np.float32)

    def uniform(self, low: Any = 0.0, high: Any = 1.0, size: Any = None) -> Any:  # noqa: D102
        return np.zeros(size, np.float32)


@dataclass(eq=False, repr=False)
class Usage:
    """How an encoder is used, apart from its weights: what a directory says about texts and vectors."""

    max_seq_length: int  # tokens a text is cut to; may be set to less
    similarity_fn_name: str = "cosine"  # of `search.SIMILARITIES`
    prompts: dict[str, str] = field(default_factory=dict)  # name -> what goes before a text
    default_prompt_name: str | None = None
    truncate_dim: int | None = None  # vectors are cut to so many numbers


@dataclass
class Pretrained:
    """What a model directory holds; of the weights, where they are."""

    weights_path: Path
    stored: dict[str, np.ndarray]  # the transformer's tensors there, as `read_stored` gives them
    modules: Modules
    architecture: Architecture
    config: EncoderConfig
    token_types: int  # rows of the table of token types; 0 for none
    tokenizer: Tokenizer
    usage: Usage


def read_directory(path: Path) -> Pretrained:
    """Read and check everything except the weights; `InputError` names the file, the key, and what is accepted.

    A config.json that asks for far more weights than the file has is refused before memory is asked for them.
    """
    listed = read_modules(path)
    modules = listed or Modules(path)
    root = modules.transformer
    raw = read_fields(root / CONFIG)
    architecture = architecture_of(raw)
    config = modules.read_config(architecture.read_config(raw))
    if listed is None and str(raw.get("architectures", list, [None])[:1]).endswith("ForCausalLM']"):
        config = replace(config, pooling="lasttoken")  # as sentence-transformers guesses it
    tokenizer = load_tokenizer(root)
    if tokenizer.vocab_size > config.vocab_size:
        sizes = f"the tokenizer has {tokenizer.vocab_size} tokens, config.json says vocab_size {config.vocab_size}"
        raise InputError(f"{root}: {sizes}: they are not of one model")
    if architecture.positions_after_pad and tokenizer.pad_id != config.pad_id:  # positions are counted by ids there
        raise InputError(f"{raw.where}: pad_token_id is {config.pad_id}, but the tokenizer's is {tokenizer.pad_id}")
    usage = Usage(config.max_length)
    if listed:
        _read_usage(path / "config_sentence_transformers.json", usage)
    usage.max_seq_length = _read_max_seq_length(root, tokenizer, config, listed is not None)
    weights, stored = read_stored(root, architecture.prefix)
    block = 4 * config.hidden_size**2 + 2 * config.hidden_size * config.intermediate_size
    rows = config.vocab_size + (0 if config.rotary else config.max_length)
    asked = rows * config.hidden_size + config.num_layers * block
    found = sum({id(tensor): tensor.size for tensor in stored.values()}.values())  # tied tensors share bytes
    if asked > 2 * found:
        raise InputError(f"{weights} has {found:,} weights, {CONFIG} asks for {asked:,}: they are not of one model")
    if config.num_layers > MOST_LAYERS:
        raise InputError(f"{raw.where}: {config.num_layers:,} layers; accepted are at most {MOST_LAYERS:,}")
    token_types = raw.get("type_vocab_size", int, 2, least=1) if architecture.token_types else 0
    return Pretrained(weights, stored, modules, architecture, config, token_types, tokenizer, usage)


def _read_usage(path: Path, usage: Usage) -> None:
    fields = read_fields(path, optional=True)
    fields.choose("model_type", "SentenceTransformer")
    usage.similarity_fn_name = fields.choose("similarity_fn_name", *SIMILARITIES)
    usage.truncate_dim = fields.get("truncate_dim", int, None, least=1)
    prompts = fields.within("prompts", {})
    usage.prompts = {name: prompts.get(name, str, "") for name in prompts.data}
    usage.default_prompt_name = fields.choose("default_prompt_name", None, *usage.prompts)
    refuse_unknown(fields, USAGE_KEYS)


def _read_max_seq_length(root: Path, tokenizer: Tokenizer, config: EncoderConfig, listed: bool) -> int:
    """Tokens a text is cut to: as said for sentence-transformers, else for the tokenizer, else all positions."""
    files = [read_fields(root / name, optional=True) for name in SENTENCE_CONFIGS] if listed else []
    ours = next((fields for fields in files if fields.data), Fields({}, ""))
    if ours.get("do_lower_case", bool, False) and not (tokenizer.model == "WordPiece" and tokenizer.spec.lowercase):
        raise InputError(f"{ours.where}: do_lower_case is on, but off in the tokenizer; accepted: both the same")
    modality = ours.within("modality_config", {})
    text = modality.within("text", {})
    ours.choose("transformer_task", "feature-extraction")
    ours.choose("module_output_name", "token_embeddings")
    text.choose("method", "forward")
    text.choose("method_output_name", "last_hidden_state")
    refuse_unknown(text)
    refuse_unknown(modality)
    for key in LOADING:
        refuse_unknown(ours.within(key, {}), LOADING_KEYS)
    tokenizer_config = read_fields(root / "tokenizer_config.json", optional=True)
    positions = config.max_length
    limit = tokenizer_config.get("model_max_length", float, positions, least=1)  # 1e30 stands for "no limit"
    length = ours.get("max_seq_length", int, int(min(limit, positions)), least=1)
    refuse_unknown(ours, TRANSFORMER_KEYS)
    least = len(tokenizer.encode("")) + 1
    if length < least or (config.rotary and length > positions):
        accepted = f"accepted are {least} (with the special tokens) to {positions}"
        raise InputError(f"{ours.where or tokenizer_config.where}: max_seq_length is {length}; {accepted}")
    return min(length, positions)


# -- weights -----------------------------------------------------------------------------------------------------


def load_weights(module: Module, source: Pretrained) -> None:
    """Read the weights of `module`, a SentenceEncoder of `source.config`, from the files.

    Raises:
        InputError: a file is damaged, or tensors are missing, unexpected or misshapen: one line lists them all.
    """
    path, found, architecture = source.weights_path, source.stored, source.architecture
    parameters = dict(module.named_parameters())
    for i, (file, tensors) in enumerate(source.modules.weights):
        for name, tensor in tensors.items():
            parameters.pop(f"dense.{i}.{name}").data = as_float32(tensor, name, file)
    names = architecture.names(parameters)
    first = architecture.first_position(source.config.pad_id)
    shapes = {names[name]: parameter.shape for name, parameter in parameters.items()}
    if position := names.get("position.weight"):
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
        parameter.data = as_float32(found[names[name]], names[name], path)
    if position:
        table = parameters["position.weight"]
        table.data = table.data[first:].copy()
    if source.token_types:
        table.data += as_float32(found[TOKEN_TYPES], TOKEN_TYPES, path)[0]


# -- writing -----------------------------------------------------------------------------------------------------


def write_directory(
    directory: Path, module: Module, dense: Sequence[Dense], config: EncoderConfig, tokenizer: Tokenizer, usage: Usage
) -> None:
    """Write `module`, a SentenceEncoder, into an existing directory, in the layout that old and new versions read."""
    architecture = architecture_for(config)
    if architecture.positions_after_pad and tokenizer.pad_id != config.pad_id:  # positions are counted by ids there
        raise InputError(f"the tokenizer's padding id is {tokenizer.pad_id}, the encoder's {config.pad_id}")
    write_modules(directory, config, dense)
    write_json(directory / CONFIG, architecture.write_config(config))
    length = usage.max_seq_length
    write_json(directory / "sentence_bert_config.json", {"max_seq_length": length, "do_lower_case": False})
    settings: dict[str, Any] = {"prompts": usage.prompts, "default_prompt_name": usage.default_prompt_name}
    settings |= {"similarity_fn_name": usage.similarity_fn_name}
    settings |= {"truncate_dim": usage.truncate_dim} if usage.truncate_dim else {}
    write_json(directory / "config_sentence_transformers.json", settings)
    tokenizer.save(directory / "tokenizer.json")
    write_json(directory / "tokenizer_config.json", _tokenizer_config(tokenizer, length))
    write_weights(directory / WEIGHTS, _foreign_weights(module, architecture, config))


def _tokenizer_config(tokenizer: Tokenizer, max_seq_length: int) -> dict[str, Any]:
    roles = {"pad_token": tokenizer.pad_id, "cls_token": tokenizer.cls_id, "sep_token": tokenizer.sep_id}
    tokens = {role: tokenizer.id_to_token(id) for role, id in roles.items()}
    if tokenizer.model == "WordPiece":
        tokens["unk_token"] = tokenizer.spec.unk_token
    if mask := next((token for token in ("<mask>", "[MASK]") if tokenizer.token_to_id(token) is not None), None):
        tokens["mask_token"] = mask
    tokens["tokenizer_class"] = "PreTrainedTokenizerFast"  # takes tokenizer.json as it is
    return {"model_max_length": max_seq_length, "model_input_names": ["input_ids", "attention_mask"], **tokens}


def _foreign_weights(module: Module, architecture: Architecture, config: EncoderConfig) -> dict[str, np.ndarray]:
    """The weights by the architecture's names.

    A sinusoid is written as a table of positions, and the factor √D of `SinusoidalPosition` goes into the embeddings:
    their sums are then the same to the last bit.
    """
    weights = {name: array for name, array in module.state_dict().items() if not name.startswith("dense.")}
    if config.positions == "sinusoidal":
        position = SinusoidalPosition(config.max_length, config.hidden_size)
        weights["position.weight"] = position.table
        weights["embedding.weight"] = weights["embedding.weight"] * position.scale
    if "position.weight" in weights:
        unused = np.zeros((architecture.first_position(config.pad_id), config.hidden_size), np.float32)
        weights["position.weight"] = np.concatenate([unused, weights["position.weight"]])
    names = architecture.names(weights)
    foreign = {names[name]: np.asarray(array, np.float32) for name, array in weights.items()}
    if architecture.token_types:
        foreign[TOKEN_TYPES] = np.zeros((1, config.hidden_size), np.float32)
    return foreign
