"""The zoo: hundreds of tiny model directories, loaded here and by sentence-transformers: `python -m benchmarks.zoo`.

Each animal is a directory of random weights that differs from a common one in a single thing: an architecture, a
layout, a key of a file, a pooling, how the weights are stored, what the tokenizer says. For each there are four ends:

    equal         both load it, and the vectors differ by at most 1e-5
    refused       minitx refuses it in one line that names the file, the key and the value
    not there     sentence-transformers cannot load or run it; whatever minitx does, nothing can differ
    DIFFERENT     both load it and the vectors differ; there must be none

Some say that they must be "equal": refusing everything is not the aim. `tokenizers` is an axis of its own: name ->
what to change in a directory; add a row there for every oddity of a tokenizer.
"""

import argparse
import json
import logging
import re
import shutil
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
import transformers
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer import modules as st
from tqdm import tqdm

from minitx.errors import InputError
from minitx.models.encoder import SentenceEncoder
from tests.checkpoints import MODELS, MORE_MODELS, SIZES, TEXTS, make_checkpoint, make_tokenizer

SENTENCES = [
    *TEXTS,
    "  Blanks \t before,\n and after  ",
    "ÉCOLE Ångström naïve",
    "e\u0301cole, A\u030angstro\u0308m, nai\u0308ve",
    "中文 and ① ﬁ",
    "word " * 40,
    "a1b2-c3_d4 'tis",
]
CONFIG, ST_CONFIG, USAGE = "config.json", "sentence_bert_config.json", "config_sentence_transformers.json"
TOKENIZER, TOKENIZER_CONFIG, POOLING = "tokenizer.json", "tokenizer_config.json", "1_Pooling/config.json"
OLD = "sentence_transformers.models"
Edit = Callable[[Path], None]


@dataclass(frozen=True)
class Animal:
    """A directory: the base it is a copy of, and what is changed in the copy."""

    name: str
    base: str  # architecture, "/", layout
    edit: Edit
    must: str = ""  # "equal", "refused", or "" where either will do


@dataclass(frozen=True)
class End:
    """What became of an animal."""

    animal: Animal
    end: str
    detail: str = ""

    @property
    def wrong(self) -> bool:
        """Whether it is not what it must be; what sentence-transformers cannot load may be anything."""
        return self.end == "DIFFERENT" or (self.end in ("equal", "refused") and self.animal.must not in ("", self.end))


# -- bases -----------------------------------------------------------------------------------------------------------


@cache
def _bases() -> tempfile.TemporaryDirectory:
    return tempfile.TemporaryDirectory(prefix="zoo")


@cache
def base(name: str) -> Path:
    """The directory that animals are copies of, made once: "bert/plain", "bert/old", "bert/new"."""
    kind, layout = name.split("/")
    path = Path(_bases().name) / kind / layout
    if layout == "plain":
        make_checkpoint(kind, path)
    elif layout == "new":  # as sentence-transformers writes it today
        SentenceTransformer(str(base(f"{kind}/plain"))).save_pretrained(str(path), create_model_card=False)
    else:  # as it was written until 2024, the transformer in a folder of its own
        folder = path / "0_Transformer"
        shutil.copytree(base(f"{kind}/plain"), folder)
        (path / "1_Pooling").mkdir()
        width = st.Transformer(str(folder)).get_embedding_dimension()
        flags = dict.fromkeys(
            ("pooling_mode_cls_token", "pooling_mode_max_tokens", "pooling_mode_mean_sqrt_len_tokens"), False
        )
        write(path / POOLING, {"word_embedding_dimension": width, "pooling_mode_mean_tokens": True, **flags})
        write(folder / ST_CONFIG, {"max_seq_length": 100, "do_lower_case": False})
        write(path / USAGE, {"__version__": {"sentence_transformers": "2.0.0", "transformers": "4.7.0"}})
        rows = [("", "0_Transformer", "Transformer"), ("", "1_Pooling", "Pooling")]
        write(
            path / "modules.json",
            [{"idx": i, "name": str(i), "path": p, "type": f"{OLD}.{k}"} for i, (_, p, k) in enumerate(rows)],
        )
    return path


def read(file: Path) -> Any:
    return json.loads(file.read_text(encoding="utf-8"))


def write(file: Path, data: Any) -> None:
    file.write_text(json.dumps(data), encoding="utf-8")


# -- edits -----------------------------------------------------------------------------------------------------------


def same(path: Path) -> None:
    """No change."""


def put(file: str, /, **changes: Any) -> Edit:
    """Set keys of a file of JSON, which need not be there."""

    def edit(path: Path) -> None:
        write(path / file, (read(path / file) if (path / file).exists() else {}) | changes)

    return edit


def drop(file: str, *keys: str) -> Edit:
    """Remove keys of a file of JSON; without keys, the file."""

    def edit(path: Path) -> None:
        if keys:
            write(path / file, {key: value for key, value in read(path / file).items() if key not in keys})
        else:
            (path / file).unlink()

    return edit


def both(*edits: Edit) -> Edit:
    def edit(path: Path) -> None:
        for one in edits:
            one(path)

    return edit


def weights(change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor] | None], file: str = "") -> Edit:
    """Change the tensors of a file of weights."""

    def edit(path: Path) -> None:
        file_ = path / (file or "model.safetensors")
        tensors = safetensors.torch.load_file(file_)
        changed = change(tensors)
        tensors = tensors if changed is None else changed
        safetensors.torch.save_file(
            {name: t.contiguous().clone() for name, t in tensors.items()}, file_, {"format": "pt"}
        )

    return edit


def shards(count: int, change: Callable[[Path, dict[str, Any]], None] = lambda path, index: None) -> Edit:
    """Spread the weights over files; `change` may damage them and the index."""

    def edit(path: Path) -> None:
        tensors = safetensors.torch.load_file(path / "model.safetensors")
        (path / "model.safetensors").unlink()
        names = [f"model-{i + 1:05}-of-{count:05}.safetensors" for i in range(count)]
        places = {name: names[i % count] for i, name in enumerate(tensors)}
        for shard in names:
            own = {name: tensor for name, tensor in tensors.items() if places[name] == shard}
            safetensors.torch.save_file(own, path / shard, {"format": "pt"})
        total = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
        index = {"metadata": {"total_size": total}, "weight_map": places}
        change(path, index)
        write(path / "model.safetensors.index.json", index)

    return edit


def saved(*modules: Callable[[int], Any]) -> Edit:
    """Written by sentence-transformers: the transformer, then `modules`, each made from the width that reaches it."""

    def edit(path: Path) -> None:
        torch.manual_seed(0)
        chain: list[Any] = [st.Transformer(str(path))]
        width = chain[0].get_embedding_dimension()
        for make in modules:
            chain.append(make(width))
            width = width if isinstance(chain[-1], st.Normalize) else chain[-1].get_embedding_dimension()
        SentenceTransformer(modules=chain).save_pretrained(str(path), create_model_card=False)

    return edit


def pooling(*modes: str) -> Callable[[int], Any]:
    return lambda width: _Pooled(width, modes)


class _Pooled(st.Pooling):
    """Pooling whose dimension is what it puts out, so that what follows fits."""

    def __init__(self, width: int, modes: tuple[str, ...]) -> None:
        super().__init__(width, modes)

    def get_embedding_dimension(self) -> int:
        return self.pooling_output_dimension


_Pooled.__module__, _Pooled.__name__, _Pooled.__qualname__ = st.Pooling.__module__, "Pooling", "Pooling"


def dense(out: int, activation: Any = torch.nn.Tanh, **options: Any) -> Callable[[int], Any]:
    return lambda width: st.Dense(width, out, activation_function=activation(), **options)


def normalize(_: int) -> Any:
    return st.Normalize()


# -- the animals -----------------------------------------------------------------------------------------------------

# Architectures that minitx has not; sizes where they are called something else.
STRANGERS: dict[str, dict[str, Any]] = {
    "albert": {"embedding_size": 12},
    "bert-generation": {},
    "big_bird": {"attention_type": "original_full"},
    "bloom": {},
    "canine": {},
    "convbert": {"embedding_size": 24, "num_attention_heads": 4, "hidden_size": 24},
    "data2vec-text": {},
    "deberta": {},
    "deberta-v2": {},
    "electra": {"embedding_size": 12},
    "ernie": {},
    "esm": {"position_embedding_type": "absolute"},
    "flaubert": {"emb_dim": 24, "n_heads": 3, "n_layers": 2},
    "fnet": {},
    "gpt2": {"n_embd": 24, "n_layer": 2, "n_head": 3},
    "ibert": {},
    "llama": {"hidden_size": 24},
    "longformer": {"attention_window": 8},
    "luke": {"entity_vocab_size": 10},
    "markuplm": {},
    "megatron-bert": {},
    "mobilebert": {"embedding_size": 12},
    "mra": {},
    "nomic_bert": {"hidden_size": 24},
    "nystromformer": {},
    "opt": {"hidden_size": 24, "word_embed_proj_dim": 24},
    "rembert": {"input_embedding_size": 12, "output_embedding_size": 12},
    "roc_bert": {},
    "roformer": {"hidden_size": 24},
    "splinter": {},
    "squeezebert": {"hidden_size": 24, "embedding_size": 24, "intermediate_size": 48, "num_attention_heads": 4},
    "t5": {"d_model": 24, "num_heads": 3, "num_layers": 2, "d_ff": 34, "d_kv": 8},
    "xlm": {"emb_dim": 24, "n_heads": 3, "n_layers": 2},
    "xlm-roberta-xl": {},
    "xlnet": {
        "max_position_embeddings": None,
        "hidden_size": None,
        "num_attention_heads": None,
        "d_model": 24,
        "d_head": 8,
        "n_head": 3,
        "n_layer": 2,
        "d_inner": 34,
    },
    "xmod": {"languages": ["en_XX"], "default_language": "en_XX"},
    "yoso": {},
}


def stranger(kind: str) -> Edit:
    """A plain directory of an architecture that minitx has not, with BERT's tokenizer."""

    def edit(path: Path) -> None:
        tokenizer = make_tokenizer("bert")
        sizes = SIZES | {"vocab_size": len(tokenizer), "pad_token_id": 0} | STRANGERS[kind]
        sizes = {key: value for key, value in sizes.items() if value is not None}
        config = transformers.AutoConfig.for_model(kind, **sizes)
        torch.manual_seed(0)
        shutil.rmtree(path)
        transformers.AutoModel.from_config(config).save_pretrained(path)
        tokenizer.save_pretrained(path)

    return edit


HARMLESS = {
    "architectures": ["BertForMaskedLM"],
    "auto_map": {"AutoModel": "modeling.Model"},
    "_name_or_path": "somebody/model",
    "_num_labels": 3,
    "transformers_version": "4.9.1",
    "torch_dtype": "float32",
    "dtype": "float32",
    "gradient_checkpointing": False,
    "chunk_size_feed_forward": 4,
    "initializer_range": 0.5,
    "tie_word_embeddings": False,
    "hidden_dropout_prob": 0.5,
    "attention_probs_dropout_prob": 0.5,
    "classifier_dropout": 0.3,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "use_cache": False,
    "output_attentions": False,
    "output_hidden_states": True,
    "output_past": True,
    "return_dict": True,
    "finetuning_task": "mnli",
    "problem_type": "regression",
    "id2label": {"0": "A", "1": "B"},
    "label2id": {"A": 0, "B": 1},
    "task_specific_params": {"x": 1},
    "directionality": "bidi",
    "pooler_fc_size": 768,
    "pooler_num_attention_heads": 12,
    "pooler_num_fc_layers": 3,
    "pooler_size_per_head": 128,
    "pooler_type": "first_token_transform",
    "sentence_transformers": {"version": "4.0.0"},
    "pruned_heads": {},
    "position_embedding_type": "absolute",
    "is_decoder": False,
    "add_cross_attention": False,
    "quantization_config": None,
    "max_length": 20,
    "top_k": 50,
    "language": "en",
}
HARMFUL = {
    "position_embedding_type": "relative_key",
    "is_decoder": True,
    "add_cross_attention": True,
    "is_encoder_decoder": True,
    "use_rotary": True,
    "rope_theta": 10000.0,
    "alibi": True,
    "layer_types": ["full_attention", "sliding_attention"],
    "is_causal": True,
    "use_bidirectional_attention": False,
    "embedding_scale": 3.0,
    "embedding_size": 12,
    "num_hidden_groups": 1,
    "quantization_config": {"quant_method": "bitsandbytes", "load_in_8bit": True},
    "pruned_heads": {"0": [0]},
    "feed_forward_type": "geglu",
    "hidden_activation": "relu",
    "norm_eps": 0.1,
    "layer_norm_epsilon": 0.1,
    "sliding_window": 4,
}
ACTIVATIONS = [
    "gelu",
    "relu",
    "gelu_new",
    "gelu_pytorch_tanh",
    "gelu_python",
    "gelu_fast",
    "gelu_accurate",
    "silu",
    "swish",
]
STRANGE_ACTIVATIONS = [
    "quick_gelu",
    "mish",
    "tanh",
    "leaky_relu",
    "gelu_10",
    "relu2",
    "relu6",
    "sigmoid",
    "linear",
    "laplace",
]
MODES = list(st.Pooling.POOLING_MODES)
OLD_KEYS = ["cls_token", "max_tokens", "mean_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken"]
DENSE_ACTIVATIONS = [torch.nn.Tanh, torch.nn.Identity, torch.nn.ReLU, torch.nn.GELU, torch.nn.SiLU, torch.nn.Sigmoid]


def tokenizers() -> Iterator[tuple[str, str, Edit, str]]:
    """Name, base, what is changed, and what must be: every oddity of a tokenizer's files."""
    bert, roberta = "bert/new", "roberta/new"
    plain_vocab = both(_vocab_txt, drop(TOKENIZER))
    for key, value in {
        "truncation_side": "left",
        "padding_side": "left",
        "model_max_length": 12,
        "do_lower_case": False,
        "strip_accents": False,
        "tokenize_chinese_chars": False,
        "add_prefix_space": True,
        "clean_up_tokenization_spaces": True,
        "tokenizer_class": "BertTokenizer",
    }.items():
        changed = both(drop(ST_CONFIG), put(TOKENIZER_CONFIG, **{key: value}))
        yield f"{key}={value}", bert, changed, "equal" if key in ("model_max_length", "tokenizer_class") else ""
        as_bert = put(TOKENIZER_CONFIG, tokenizer_class="BertTokenizer")
        yield f"BertTokenizer, {key}={value}", bert, both(as_bert, changed), ""
        yield f"vocab.txt, {key}={value}", bert, both(plain_vocab, as_bert, changed), ""
    for name in (
        "BertTokenizerFast",
        "DistilBertTokenizer",
        "ElectraTokenizer",
        "MPNetTokenizer",
        "PreTrainedTokenizerFast",
    ):
        yield f"tokenizer_class={name}", bert, put(TOKENIZER_CONFIG, tokenizer_class=name), ""
    for name in ("BertJapaneseTokenizer", "PhobertTokenizer", "BertweetTokenizer", "Nobody"):
        yield f"tokenizer_class={name}", bert, put(TOKENIZER_CONFIG, tokenizer_class=name), ""
        yield f"config tokenizer_class={name}", bert, put(CONFIG, tokenizer_class=name), ""
        yield f"vocab.txt, {name}", bert, both(plain_vocab, put(TOKENIZER_CONFIG, tokenizer_class=name)), ""
    for name in ("RobertaTokenizer", "GPT2Tokenizer"):
        yield f"tokenizer_class={name}", roberta, put(TOKENIZER_CONFIG, tokenizer_class=name), ""
    yield "no tokenizer_config", bert, drop(TOKENIZER_CONFIG), ""
    yield "vocab.txt", bert, both(plain_vocab, put(TOKENIZER_CONFIG, tokenizer_class="BertTokenizer")), ""
    for side in ("Left", "Right"):
        cut = {"direction": side, "max_length": 12, "strategy": "LongestFirst", "stride": 0}
        yield f"truncation {side.lower()} in tokenizer.json", bert, put(TOKENIZER, truncation=cut), ""
    padding = {"strategy": {"Fixed": 20}, "direction": "Left", "pad_to_multiple_of": None}
    padding |= {"pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]"}
    yield "padding left in tokenizer.json", bert, put(TOKENIZER, padding=padding), ""
    yield "padding right in tokenizer.json", bert, put(TOKENIZER, padding=padding | {"direction": "Right"}), ""
    for name, normalizer in {
        "none": None,
        "lowercase": {"type": "Lowercase"},
        "NFKC": {"type": "NFKC"},
        "sequence": {"type": "Sequence", "normalizers": [{"type": "NFD"}, {"type": "StripAccents"}]},
    }.items():
        yield f"normalizer {name}", bert, put(TOKENIZER, normalizer=normalizer), ""
        yield f"normalizer {name}", roberta, put(TOKENIZER, normalizer=normalizer), ""
    for of in (roberta, "modernbert/plain", "modernbert/new"):  # ModernBERT's published file says NFC
        yield "normalizer NFC", of, put(TOKENIZER, normalizer={"type": "NFC"}), "equal" if "modern" in of else ""
    yield "no post_processor", bert, put(TOKENIZER, post_processor=None), ""
    yield "no post_processor", roberta, put(TOKENIZER, post_processor=None), ""
    yield "pre_tokenizer WhitespaceSplit", bert, put(TOKENIZER, pre_tokenizer={"type": "WhitespaceSplit"}), ""


def _vocab_txt(path: Path) -> None:
    vocab = read(path / TOKENIZER)["model"]["vocab"]
    (path / "vocab.txt").write_text("\n".join(sorted(vocab, key=vocab.__getitem__)) + "\n", encoding="utf-8")


def animals() -> list[Animal]:
    """All of them, in an order that never changes."""
    found: list[Animal] = []

    def add(name: str, base: str, edit: Edit, must: str = "") -> None:
        found.append(Animal(f"{base}: {name}", base, edit, must))

    kinds = [*MODELS, *MORE_MODELS]
    for kind, layout in product(kinds, ("plain", "new", "old")):
        add("as it is", f"{kind}/{layout}", same, "equal")
    for kind in STRANGERS:
        add(f"stranger {kind}", "bert/plain", stranger(kind), "refused")
    _add_architecture_settings(add, kinds)
    _add_modules(add)
    _add_settings(add)
    _add_weights(add, kinds)
    for name, of, edit, must in tokenizers():
        add(f"tokenizer, {name}", of, edit, must)
    return found


def _add_architecture_settings(add: Callable[..., None], kinds: list[str]) -> None:
    for kind in kinds:
        key = {"distilbert": "activation", "modernbert": "hidden_activation"}.get(kind, "hidden_act")
        for name in ACTIVATIONS if kind in ("bert", "distilbert", "modernbert") else ACTIVATIONS[2:3]:
            add(f"{key}={name}", f"{kind}/new", put(CONFIG, **{key: name}), "equal")
    for name in STRANGE_ACTIVATIONS:
        add(f"hidden_act={name}", "bert/new", put(CONFIG, hidden_act=name), "refused")
    for (key, value), kind in product(HARMLESS.items(), ("bert", "roberta")):
        add(f"{key}={value!r:.30}", f"{kind}/new", put(CONFIG, **{key: value}), "equal" if kind == "bert" else "")
    for key, value in HARMFUL.items():
        add(f"{key}={value!r:.30}", "bert/new", put(CONFIG, **{key: value}), "refused")
    for kind, value in product(("bert", "distilbert"), (1e-3, 1e-5)):
        add(f"layer_norm_eps={value}", f"{kind}/new", put(CONFIG, layer_norm_eps=value))
    for kind, key in product(kinds, ("layer_norm_eps", "hidden_act", "pad_token_id", "type_vocab_size")):
        if key in read(base(f"{kind}/new") / CONFIG):
            add(f"no {key}", f"{kind}/new", drop(CONFIG, key))
    for pad in (0, 3, 50):
        add(f"pad_token_id={pad}", "roberta/new", put(CONFIG, pad_token_id=pad))
        add(f"pad_token_id={pad}", "bert/new", put(CONFIG, pad_token_id=pad))
    add("model_type dropped", "bert/plain", drop(CONFIG, "model_type"))
    add("causal", "bert/plain", put(CONFIG, architectures=["BertForCausalLM"]), "equal")
    modern: dict[str, dict[str, Any]] = {
        "global_attn_every_n_layers": {"layer_types": None, "global_attn_every_n_layers": 2},
        "thetas": {"rope_parameters": None, "global_rope_theta": 5000.0, "local_rope_theta": 100.0},
        "local_attention": {"local_attention": 6},
        "all local": {"layer_types": ["sliding_attention"] * 4},
        "norm_bias": {"norm_bias": True},
        "mlp_bias": {"mlp_bias": True},
        "attention_bias": {"attention_bias": True},
        "norm_eps": {"norm_eps": 1e-3},
        "rope yarn": {"rope_scaling": {"rope_type": "yarn", "factor": 2.0}},
    }
    if "modernbert" in kinds:
        for name, changes in modern.items():
            add(
                name,
                "modernbert/new",
                put(CONFIG, **changes),
                "refused" if name.endswith(("bias", "yarn")) else "equal",
            )


def _add_modules(add: Callable[..., None]) -> None:
    new = "bert/new"
    for mode, key in zip(MODES, OLD_KEYS, strict=True):
        add(f"pooling {mode}", new, saved(pooling(mode)), "equal")
        flags = {f"pooling_mode_{other}": other == key for other in OLD_KEYS}
        add(f"pooling {key}", "bert/old", put(POOLING, **flags), "equal")
        add(f"pooling {mode}", "mpnet/new", saved(pooling(mode)), "equal")
    for i, a in enumerate(MODES):
        for b in MODES[i + 1 :]:
            add(f"pooling {a}+{b}", new, saved(pooling(a, b)), "equal")
            keys = (OLD_KEYS[MODES.index(a)], OLD_KEYS[MODES.index(b)])
            flags = {f"pooling_mode_{key}": key in keys for key in OLD_KEYS}
            add(f"pooling {a}, {b}", "bert/old", put(POOLING, **flags), "equal")
    add("pooling of all", new, saved(pooling(*MODES)), "equal")
    add("pooling in another order", new, saved(pooling("mean", "cls", "mean")), "equal")
    add("pooling of none", "bert/old", put(POOLING, pooling_mode_mean_tokens=False))
    for key, value in {"pooling_mode": "median", "include_prompt": False, "scale": 2.0, "pooling_mode_x": True}.items():
        add(f"pooling {key}={value}", new, put(POOLING, **{key: value}), "refused")
    for activation, bias, residual in product(DENSE_ACTIVATIONS, (True, False), (True, False)):
        layer = dense(9, activation, bias=bias, use_residual=residual)
        add(
            f"dense {activation.__name__} {bias} {residual}",
            new,
            saved(pooling("mean"), layer),
            "refused" if residual else "equal",
        )
    add("dense as wide", new, saved(pooling("mean"), dense(21, use_residual=True)), "refused")
    chains = {
        "two": (dense(9), dense(30, torch.nn.ReLU)),
        "normalized": (dense(9), normalize),
        "normalized first": (normalize, dense(9)),
        "normalized twice": (normalize, dense(9), normalize),
        "between": (dense(9), normalize, dense(5, torch.nn.Identity)),
        "twice in a row": (normalize, normalize),
    }
    for (name, chain), kind in product(chains.items(), ("bert", "distilbert")):
        add(f"dense, {name}", f"{kind}/new", saved(pooling("mean"), *chain), "equal")
    add("dense after two poolings", new, saved(pooling("cls", "mean"), dense(9)), "equal")
    for activation in (torch.nn.Mish, torch.nn.LeakyReLU, torch.nn.Softplus):
        add(f"dense {activation.__name__}", new, saved(pooling("mean"), dense(9, activation)), "refused")
    one = saved(pooling("mean"), dense(9))
    for key, value in {
        "activation_function": "custom.Tanh",
        "module_input_name": "token_embeddings",
        "module_output_name": "other",
        "scale": 2.0,
        "in_features": 20,
        "out_features": 8,
        "bias": False,
    }.items():
        add(f"dense {key}={value}", new, both(one, put("2_Dense/config.json", **{key: value})))
    add("dense torch.nn.Tanh", new, both(one, put("2_Dense/config.json", activation_function="torch.nn.Tanh")), "equal")
    add("dense of no activation", new, both(one, drop("2_Dense/config.json", "activation_function")), "equal")
    add(
        "dense float16",
        new,
        both(one, weights(lambda w: {n: t.half() for n, t in w.items()}, "2_Dense/model.safetensors")),
        "equal",
    )
    for name in ("LayerNorm", "Dropout", "CNN", "LSTM", "WordWeights", "WeightedLayerPooling"):
        add(f"module {name}", new, _append(f"{OLD}.{name}"), "refused")
    for kind in ("Transformer", "Pooling"):
        for place in ("custom_pool", "somebody.models", "sentence_transformers.losses"):
            add(f"module {place}.{kind}", new, _rename(kind, f"{place}.{kind}"), "refused")
    for kind, place in {"Transformer": "base", "Pooling": "sentence_transformer"}.items():
        for written in (f"{OLD}.{kind}", f"{OLD}.{kind}.{kind}", f"sentence_transformers.{place}.modules.{kind}"):
            add(f"module {written}", new, _rename(kind, written), "equal")
    add(
        "normalize of 5.4",
        new,
        _append("sentence_transformers.sentence_transformer.modules.normalize.Normalize"),
        "equal",
    )
    add("normalize of 2.0", "bert/old", _append(f"{OLD}.Normalize"), "equal")
    add(
        "normalize of tokens",
        new,
        both(saved(pooling("mean"), normalize), put("2_Normalize/config.json", module_input_name="token_embeddings")),
    )
    add("two modules of one name", new, both(_append(f"{OLD}.Normalize"), _same_names))


def _edit_modules(change: Callable[[list[dict[str, Any]]], None]) -> Edit:
    def edit(path: Path) -> None:
        modules = read(path / "modules.json")
        change(modules)
        write(path / "modules.json", modules)

    return edit


def _append(kind: str) -> Edit:
    return _edit_modules(lambda modules: modules.append({"idx": 2, "name": "2", "path": "2_Last", "type": kind}))


def _rename(kind: str, new: str) -> Edit:
    return _edit_modules(
        lambda modules: [m.update(type=new) for m in modules if m["type"].endswith(f".{kind}")] and None
    )


_same_names = _edit_modules(lambda modules: modules[-1].update(name="1"))


def _add_settings(add: Callable[..., None]) -> None:
    new = "bert/new"
    for dim in (1, 7, 21, 400):
        add(f"truncate_dim={dim}", new, put(USAGE, truncate_dim=dim), "equal")
    add("truncate_dim, normalized", new, both(saved(pooling("mean"), normalize), put(USAGE, truncate_dim=7)), "equal")
    add("truncate_dim, plain", "bert/plain", put(USAGE, truncate_dim=7), "equal")
    usage: dict[str, Any] = {
        "prompts": {"query": "query: ", "passage": "passage: "},
        "default_prompt_name": "query",
        "similarity_fn_name": "dot",
        "model_type": "SparseEncoder",
        "__version__": {"sentence_transformers": "3.0.0"},
        "scale": 2.0,
    }
    for key, value in usage.items():
        changes = {key: value} if key != "default_prompt_name" else usage | {"model_type": "SentenceTransformer"}
        changes.pop("scale", None) if key != "scale" else None
        add(
            f"usage {key}={value!r:.30}",
            new,
            put(USAGE, **changes),
            "equal" if key in ("prompts", "__version__") else "",
        )
    text = {"method": "forward", "method_output_name": "last_hidden_state"}
    transformer: dict[str, Any] = {
        "max_seq_length": 9,
        "do_lower_case": True,
        "transformer_task": "fill-mask",
        "modality_config": {"text": text | {"method_output_name": "pooler_output"}},
        "modality_config ": {"text": text | {"method_output_name": ["hidden_states", 1]}},
        "modality_config  ": {"text": text, "message": text},
        "modality_config   ": {"text": text},
        "module_output_name": "sentence_embedding",
        "processing_kwargs": {"text": {"truncation": False}},
        "processing_kwargs ": {"text": {"max_length": 6}},
        "processing_kwargs  ": {"common": {"add_special_tokens": False}},
        "unpad_inputs": False,
        "query_length": 8,
        "document_length": 8,
        "query_expansion": {"strategy": "fixed", "length": 8},
        "tokenizer_name_or_path": "/nowhere/else",
        "tokenizer_args": {"do_lower_case": False, "model_max_length": 8},
        "processor_kwargs": {"truncation_side": "left"},
        "config_args": {"hidden_act": "relu"},
        "config_kwargs": {"num_hidden_layers": 1},
        "config_kwargs ": {"layer_norm_eps": 0.1},
        "model_args": {"add_pooling_layer": False},
        "model_kwargs": {"attn_implementation": "eager"},
        "model_kwargs ": {"torch_dtype": "float32"},
        "scale": 2.0,
    }
    for key, value in transformer.items():
        must = "equal" if key in ("max_seq_length", "unpad_inputs", "model_args", "modality_config   ") else ""
        for of in (new, "roberta/new"):
            add(f"transformer {key}={value!r:.40}", of, put(ST_CONFIG, **{key.strip(): value}), must)
    for name in ("roberta", "distilbert", "albert", "xlm-roberta"):
        alone = both(drop(ST_CONFIG), put(f"sentence_{name}_config.json", max_seq_length=9))
        add(f"sentence_{name}_config", new, alone, "equal")
        add(f"sentence_{name}_config too", new, put(f"sentence_{name}_config.json", max_seq_length=9), "equal")
    add(
        "empty sentence config",
        new,
        both(_empty(ST_CONFIG), put("sentence_albert_config.json", max_seq_length=9)),
        "equal",
    )
    add("no sentence config", new, drop(ST_CONFIG), "equal")
    add("sentence config, plain", "bert/plain", put(ST_CONFIG, max_seq_length=9), "equal")
    add("no usage", new, drop(USAGE), "equal")
    special = put(USAGE, prompts={"q": "[CLS] <s> query: "}, default_prompt_name="q")
    far = both(put(CONFIG, max_position_embeddings=8), put(ST_CONFIG, max_seq_length=100))
    for of in (new, "roberta/new", "modernbert/new"):
        add("found: a prompt that spells a special token", of, special, "refused")
        add("found: no attention mask", of, put("tokenizer_config.json", model_input_names=["input_ids"]), "refused")
        add("found: two tokens", of, put(ST_CONFIG, max_seq_length=2))
    add("found: longer than its positions", "modernbert/new", far, "refused")


def _empty(file: str) -> Edit:
    return lambda path: write(path / file, {})


def _add_weights(add: Callable[..., None], kinds: list[str]) -> None:
    for kind, count in product(kinds, (1, 3)):
        add(f"{count} shards", f"{kind}/new", shards(count), "equal")
    add("shards in a folder", "bert/old", _inside("0_Transformer", shards(2)), "equal")
    add("shards of a dense model", "bert/new", both(saved(pooling("mean"), dense(9)), shards(2)), "equal")

    def double(path: Path, index: dict[str, Any]) -> None:
        names = sorted(path.glob("model-*"))
        first = safetensors.torch.load_file(names[0])
        second = safetensors.torch.load_file(names[1])
        name = next(iter(first))
        safetensors.torch.save_file(second | {name: first[name] + 1}, names[1], {"format": "pt"})

    def swap(path: Path, index: dict[str, Any]) -> None:
        places = index["weight_map"]
        a, b = list(places)[:2]
        places[a], places[b] = places[b], places[a]

    damage: dict[str, Callable[[Path, dict[str, Any]], None]] = {
        "a shard is missing": lambda path, index: min(path.glob("model-*")).unlink(),
        "a tensor in two shards": double,
        "two places are swapped": swap,
        "a tensor is not listed": lambda path, index: index["weight_map"].popitem() and None,
        "a tensor is nowhere": lambda path, index: index["weight_map"].update(more=min(index["weight_map"].values())),
        "a shard outside": lambda path, index: index["weight_map"].update(
            dict.fromkeys(index["weight_map"], "../x.safetensors")
        ),
        "no weight_map": lambda path, index: index.pop("weight_map") and None,
        "total_size is wrong": lambda path, index: index["metadata"].update(total_size=1),
    }
    for name, change in damage.items():
        add(f"shards: {name}", "bert/new", shards(2, change))
    add("shards beside one file", "bert/new", _beside, "equal")
    for kind, dtype in product(("bert", "mpnet", "modernbert"), (torch.float16, torch.bfloat16, torch.float64)):
        if kind in kinds:
            change = weights(lambda w, dtype=dtype: {n: t.to(dtype) for n, t in w.items()})
            named = put(CONFIG, dtype=str(dtype).removeprefix("torch."))
            add(f"weights {dtype}", f"{kind}/new", change, "equal")
            add(f"weights and config {dtype}", f"{kind}/new", both(change, named), "equal")
    add(
        "weights of mixed types",
        "bert/new",
        weights(lambda w: {n: t.half() if i % 2 else t for i, (n, t) in enumerate(w.items())}),
        "equal",
    )
    for kind in kinds:
        for head in ("MaskedLM", "SequenceClassification", "TokenClassification"):
            add(f"for {head}", f"{kind}/plain", _with_head(head), "equal")
    old = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
    add("gamma and beta", "bert/new", weights(lambda w: {_replace(n, old): t for n, t in w.items()}), "equal")
    add("prefix", "bert/new", weights(lambda w: {f"bert.{n}": t for n, t in w.items()}), "equal")
    add("another prefix", "bert/new", weights(lambda w: {f"encoder.{n}": t for n, t in w.items()}))
    ids = torch.arange(170)[None]
    add("position_ids", "bert/new", weights(lambda w: w | {"embeddings.position_ids": ids}), "equal")
    add("a tensor more", "bert/new", weights(lambda w: w | {"encoder.layer.0.adapter.weight": ids.float()}), "refused")
    add("a layer more", "bert/new", put(CONFIG, num_hidden_layers=1))
    add("a layer less", "bert/new", put(CONFIG, num_hidden_layers=3))
    add(
        "a tensor less",
        "bert/new",
        weights(lambda w: {n: t for n, t in w.items() if n != "embeddings.LayerNorm.bias"}),
        "refused",
    )
    add("both prefixes", "bert/new", weights(lambda w: w | {f"bert.{n}": t + 1 for n, t in w.items()}), "refused")
    add("heads otherwise", "bert/new", put(CONFIG, num_attention_heads=7), "equal")
    add("one token type", "bert/new", both(put(CONFIG, type_vocab_size=1), weights(_one_type)), "equal")
    add("vocabulary larger", "bert/new", both(put(CONFIG, vocab_size=200), weights(_more_words)), "equal")


def _inside(folder: str, edit: Edit) -> Edit:
    return lambda path: edit(path / folder)


def _beside(path: Path) -> None:
    shutil.copy(path / "model.safetensors", path / "kept")
    shards(2)(path)
    (path / "kept").rename(path / "model.safetensors")


def _replace(name: str, pairs: dict[str, str]) -> str:
    for old, new in pairs.items():
        name = name.replace(old, new)
    return name


def _one_type(w: dict[str, torch.Tensor]) -> None:
    w["embeddings.token_type_embeddings.weight"] = w["embeddings.token_type_embeddings.weight"][:1]


def _more_words(w: dict[str, torch.Tensor]) -> None:
    table = w["embeddings.word_embeddings.weight"]
    w["embeddings.word_embeddings.weight"] = torch.cat([table, torch.zeros(200 - len(table), table.shape[1])])


def _with_head(head: str) -> Edit:
    def edit(path: Path) -> None:
        model = transformers.AutoModel.from_pretrained(path)
        whole = getattr(transformers, type(model).__name__.removesuffix("Model") + f"For{head}")(model.config)
        getattr(whole, whole.base_model_prefix).load_state_dict(model.state_dict(), strict=False)
        whole.save_pretrained(path)

    return edit


# -- what becomes of them ------------------------------------------------------------------------------------------

NAMED = re.compile(r"\.(json|txt|safetensors)|modules|holds no tokenizer|tokenizer")


def meet(animal: Animal, folder: Path) -> End:
    """Make one, load it in both libraries, and compare."""
    path = folder / "animal"
    shutil.rmtree(path, ignore_errors=True)
    shutil.copytree(base(animal.base), path)
    try:
        animal.edit(path)
    except Exception as error:
        return End(animal, "not made", repr(error)[:200])
    ours: np.ndarray | str
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            ours = SentenceEncoder.from_pretrained(path).encode(SENTENCES)
        except InputError as error:
            ours = str(error).replace(str(path), "")
            if "\n" in ours or not NAMED.search(ours):
                return End(animal, "DIFFERENT", f"names no file: {ours}")
        try:
            loaded = SentenceTransformer(str(path), device="cpu", model_kwargs={"dtype": torch.float32})
            theirs = loaded.encode(SENTENCES, convert_to_numpy=True)
        except Exception as error:
            detail = f"{type(error).__name__}: {error}".split("\n")[0][:100]
            return End(
                animal, "not there", f"{'refused here too' if isinstance(ours, str) else 'loads here'} | {detail}"
            )
    if isinstance(ours, str):
        return End(animal, "refused", ours)
    if ours.shape != theirs.shape:
        return End(animal, "DIFFERENT", f"{ours.shape} and {theirs.shape}")
    apart = float(np.abs(ours - theirs).max() / max(1.0, np.abs(theirs).max()))
    return End(animal, "equal" if apart <= 1e-5 else "DIFFERENT", f"{apart:.1e}")


@contextmanager
def quiet() -> Iterator[None]:
    """Nothing on the screen from the libraries that are compared with."""
    verbosity, disabled = transformers.logging.get_verbosity(), logging.root.manager.disable
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(disabled)
        transformers.logging.set_verbosity(verbosity)
        transformers.logging.enable_progress_bar()


def main() -> None:
    """`python -m benchmarks.zoo [--only TEXT] [--show END]`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="animals whose name has this in it")
    parser.add_argument("--show", default="", help="ends to list, such as refused")
    a = parser.parse_args()
    with quiet(), tempfile.TemporaryDirectory() as folder:
        ends = [meet(animal, Path(folder)) for animal in tqdm([x for x in animals() if a.only in x.name], disable=None)]
    for end in ends:
        if end.wrong or end.end == "not made" or (a.show and a.show in end.end):
            print(f"{end.end:10} {end.animal.name} (must be {end.animal.must or 'either'}): {end.detail}")
    counts = Counter(end.end for end in ends)
    print(f"\n{len(ends)} directories: " + ", ".join(f"{count} {end}" for end, count in counts.most_common()))
    if any(end.wrong for end in ends):
        sys.exit(1)


if __name__ == "__main__":
    with suppress(BrokenPipeError):
        main()
