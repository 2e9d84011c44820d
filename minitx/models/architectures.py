"""What do the ecosystem's encoders call the parts of SentenceEncoder? Tables of names, and what else differs.

All are the same stack with small differences, which is why one class serves for all of them:

    BERT (MiniLM, E5, BGE, GTE ...)     post-norm blocks, learned positions, token types
    DistilBERT                          without token types
    RoBERTa, XLM-RoBERTa, CamemBERT     positions start after the padding id: row pad_id + 1 is the first token's
    MPNet                               likewise, without token types, and with a relative position bias for all blocks
    RoBERTa-PreLayerNorm                RoBERTa with pre-norm blocks
    ELECTRA                             BERT, if its embeddings are as wide as its blocks
    ModernBERT                          another block altogether: `nn.modernbert`

Token types tell two sentences of a pair apart. An encoder of single sentences only ever uses row 0, which is therefore
added to the positions on reading; on writing, the only row is zero.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from minitx.errors import InputError
from minitx.models.config import EncoderConfig
from minitx.models.known_keys import CONFIG_KEYS, refuse_unknown
from minitx.system import REQUIRED, Fields, brief

# Name of a layer here -> its name there; `.weight` and `.bias` are the same in both.
OUTSIDE_BLOCKS = {
    "embedding": "embeddings.word_embeddings",
    "position": "embeddings.position_embeddings",
    "norm": "embeddings.LayerNorm",
    "relative_position": "encoder.relative_attention_bias",  # MPNet alone has it
    "transformer.norm": "LayerNorm",  # and this RoBERTa-PreLayerNorm
}
# Name of a layer in a block here -> in BERT's and RoBERTa's, in RoBERTa-PreLayerNorm's, in MPNet's, in DistilBERT's.
BLOCK = {
    "attention.query": ("attention.self.query", "attention.self.query", "attention.attn.q", "attention.q_lin"),
    "attention.key": ("attention.self.key", "attention.self.key", "attention.attn.k", "attention.k_lin"),
    "attention.value": ("attention.self.value", "attention.self.value", "attention.attn.v", "attention.v_lin"),
    "attention.out": ("attention.output.dense", "attention.output.dense", "attention.attn.o", "attention.out_lin"),
    "norm1": ("attention.output.LayerNorm", "attention.LayerNorm", "attention.LayerNorm", "sa_layer_norm"),
    "feed_forward.linear1": ("intermediate.dense", "intermediate.dense", "intermediate.dense", "ffn.lin1"),
    "feed_forward.linear2": ("output.dense", "output.dense", "output.dense", "ffn.lin2"),
    "norm2": ("output.LayerNorm", "intermediate.LayerNorm", "output.LayerNorm", "output_layer_norm"),
}
# The same for ModernBERT, whose blocks are of another kind.
MODERN = {"embedding": "embeddings.tok_embeddings", "norm": "embeddings.norm", "transformer.norm": "final_norm"}
MODERN |= {"norm1": "attn_norm", "attention.qkv": "attn.Wqkv", "attention.out": "attn.Wo", "norm2": "mlp_norm"}
MODERN |= {"feed_forward.linear1": "mlp.Wi", "feed_forward.linear2": "mlp.Wo"}
BLOCKS = {"distilbert": "transformer.layer", "modernbert": "layers"}  # else "encoder.layer"
# Field of EncoderConfig -> its key in config.json, its kind, and what transformers assumes where the file is silent;
# sizes are never assumed.
SETTINGS: dict[str, tuple[str, type, Any]] = {
    "vocab_size": ("vocab_size", int, REQUIRED),
    "hidden_size": ("hidden_size", int, REQUIRED),
    "num_layers": ("num_hidden_layers", int, REQUIRED),
    "num_heads": ("num_attention_heads", int, REQUIRED),
    "intermediate_size": ("intermediate_size", int, REQUIRED),
    "max_length": ("max_position_embeddings", int, REQUIRED),
    "activation": ("hidden_act", str, "gelu"),
    "dropout": ("hidden_dropout_prob", float, 0.1),
    "layer_norm_eps": ("layer_norm_eps", float, 1e-12),
}
# What differs from it; DistilBERT's eps is not a setting.
_DISTILBERT = {"hidden_size": "dim", "num_layers": "n_layers", "num_heads": "n_heads", "layer_norm_eps": ""}
_DISTILBERT |= {"intermediate_size": "hidden_dim", "activation": "activation", "dropout": "dropout"}
_MODERNBERT = {"activation": "hidden_activation", "dropout": "mlp_dropout", "layer_norm_eps": "norm_eps"}
OTHER_KEYS = {"distilbert": _DISTILBERT, "modernbert": _MODERNBERT}
OTHER_DEFAULTS = {"mlp_dropout": 0.0, "norm_eps": 1e-5}
FULL, LOCAL = "full_attention", "sliding_attention"  # the kinds of ModernBERT's blocks
# Other names of activations, and those that differ by how they are computed alone.
SAME_ACTIVATION = {"gelu_python": "gelu", "swish": "silu"}
SAME_ACTIVATION |= dict.fromkeys(("gelu_pytorch_tanh", "gelu_fast", "gelu_accurate"), "gelu_new")
# Weights that belong to other uses of the same checkpoint: pooling for pretraining, predicting words, classifying.
OTHER_USES = re.compile(
    r"(pooler|head|cls|lm_head|classifier|pre_classifier|qa_outputs|vocab_(transform|layer_norm|projector)"
    r"|generator_(predictions|lm_head)|discriminator_predictions)\."
    r"|decoder\.bias$|embeddings\.(position_ids|token_type_ids)$"
)
TOKEN_TYPES = "embeddings.token_type_embeddings.weight"


@dataclass(frozen=True)
class Architecture:
    """One family of checkpoints: its names, and in what it differs from BERT."""

    model_type: str  # as config.json says it
    model_class: str  # of transformers, for `architectures` in config.json
    prefix: str  # of the names of weights in a model with a head
    column: int = 0  # of BLOCK
    pad_id: int = 0  # where config.json does not say
    positions_after_pad: bool = False  # position 0 is row pad_id + 1 of the table
    token_types: bool = True
    norm_first: bool = False
    relative_buckets: int = 0  # transformers computes MPNet's buckets for a table of 32, whatever config.json says

    def read_config(self, config: Fields) -> EncoderConfig:
        """What config.json says, as an EncoderConfig; `InputError` for what is missing, wrong or not implemented."""
        config.choose("position_embedding_type", "absolute")
        for flag in ("is_decoder", "is_encoder_decoder", "add_cross_attention"):
            config.choose(flag, False)
        pad_id = config.get("pad_token_id", int, self.pad_id, least=0)
        if self.relative_buckets and pad_id != self.pad_id:
            raise InputError(f"{config.where}: pad_token_id is {pad_id}; accepted: {self.pad_id}, as in MPNet's code")
        fields = {"pad_id": pad_id, "norm_first": self.norm_first, "relative_buckets": self.relative_buckets}
        for field, (_, kind, default) in SETTINGS.items():
            key = self.key(field)
            fields[field] = config.get(key, kind, OTHER_DEFAULTS.get(key, default))
        fields["activation"] = SAME_ACTIVATION.get(fields["activation"], fields["activation"])
        width = config.get("embedding_size", int, 128 if self.model_type == "electra" else fields["hidden_size"])
        if width != fields["hidden_size"]:
            found = f"embedding_size is {width}, not hidden_size: the layer between is missing"
            raise InputError(f"{config.where}: {found}")
        fields["max_length"] -= self.first_position(pad_id)
        if self.model_type == "modernbert":
            fields["rotary"] = _read_rotary(config, fields["num_layers"])
        refuse_unknown(config, CONFIG_KEYS)
        try:
            return EncoderConfig(**fields, positions="learned")
        except InputError as error:
            raise InputError(f"{config.where}: {error}") from error

    def write_config(self, c: EncoderConfig) -> dict[str, Any]:
        """The config.json of an encoder; the reverse of `read_config`, for what `architecture_for` chooses."""
        values = {self.key(field): getattr(c, field) for field in SETTINGS}
        values["max_position_embeddings"] += self.first_position(c.pad_id)
        values |= {"pad_token_id": c.pad_id, "attention_probs_dropout_prob": c.dropout, "initializer_range": 0.02}
        values |= {"type_vocab_size": 1} if self.token_types else {}
        values |= {"relative_attention_num_buckets": c.relative_buckets} if c.relative_buckets else {}
        values |= _write_rotary(c) if c.rotary else {}
        return {"architectures": [self.model_class], "model_type": self.model_type, **values}

    def key(self, field: str) -> str:
        """The key of config.json that says this field of EncoderConfig."""
        return OTHER_KEYS.get(self.model_type, {}).get(field, SETTINGS[field][0])

    def first_position(self, pad_id: int) -> int:
        """The row of the position table that belongs to the first token."""
        return pad_id + 1 if self.positions_after_pad else 0

    def names(self, ours: Iterable[str]) -> dict[str, str]:
        """Our names of parameters -> theirs."""
        blocks, modern = BLOCKS.get(self.model_type, "encoder.layer"), self.model_type == "modernbert"
        result = {}
        for name in ours:
            layer, kind = name.rsplit(".", 1)
            if block := re.fullmatch(r"transformer\.blocks\.(\d+)\.(.+)", layer):
                inside = MODERN[block[2]] if modern else BLOCK[block[2]][self.column]
                result[name] = f"{blocks}.{block[1]}.{inside}.{kind}"
            else:
                result[name] = f"{(MODERN if modern else OUTSIDE_BLOCKS)[layer]}.{kind}"
        return result


def _read_rotary(config: Fields, layers: int) -> tuple[tuple[float, int], ...]:
    """For each block of a ModernBERT, the theta of its positions and how far its tokens look, 0 for everywhere."""
    for flag in ("norm_bias", "attention_bias", "mlp_bias"):
        config.choose(flag, False)
    every = config.get("global_attn_every_n_layers", int, 3, least=1)
    kinds = config.get("layer_types", list, [LOCAL if i % every else FULL for i in range(min(layers, 10_000))])
    reach = config.get("local_attention", int, 128, least=2) // 2
    places, blocks = ((FULL, "global_rope_theta", 160_000.0, 0), (LOCAL, "local_rope_theta", 10_000.0, reach)), {}
    for kind, of_old, theta, far in places:
        rope = config.within("rope_parameters", {}).within(kind, {})
        rope.choose("rope_type", "default")
        blocks[kind] = (rope.get("rope_theta", float, config.get(of_old, float, theta, least=1), least=1), far)
        refuse_unknown(rope)
    if len(kinds) != layers or any(kind not in (FULL, LOCAL) for kind in kinds):
        raise InputError(f"{config.where}: layer_types is {brief(kinds)}; accepted: {layers} times {FULL} or {LOCAL}")
    return tuple(blocks[kind] for kind in kinds)


def _write_rotary(c: EncoderConfig) -> dict[str, Any]:
    thetas = {FULL if reach == 0 else LOCAL: theta for theta, reach in c.rotary}
    return {
        "layer_types": [LOCAL if reach else FULL for _, reach in c.rotary],
        "rope_parameters": {kind: {"rope_type": "default", "rope_theta": theta} for kind, theta in thetas.items()},
        "local_attention": 2 * max((reach for _, reach in c.rotary), default=0) or 128,
    }


_AFTER_PAD: dict[str, Any] = {"pad_id": 1, "positions_after_pad": True}
_PRE_NORM: dict[str, Any] = _AFTER_PAD | {"norm_first": True}
_ALL = (
    Architecture("bert", "BertModel", "bert."),
    Architecture("electra", "ElectraModel", "electra."),
    Architecture("modernbert", "ModernBertModel", "model.", token_types=False, norm_first=True),
    Architecture("distilbert", "DistilBertModel", "distilbert.", 3, token_types=False),
    Architecture("roberta", "RobertaModel", "roberta.", **_AFTER_PAD),
    Architecture("xlm-roberta", "XLMRobertaModel", "roberta.", **_AFTER_PAD),
    Architecture("camembert", "CamembertModel", "roberta.", **_AFTER_PAD),
    Architecture("mpnet", "MPNetModel", "mpnet.", 2, **_AFTER_PAD, token_types=False, relative_buckets=32),
    Architecture("roberta-prelayernorm", "RobertaPreLayerNormModel", "roberta_prelayernorm.", 1, **_PRE_NORM),
)
ARCHITECTURES = {architecture.model_type: architecture for architecture in _ALL}


def architecture_of(config: Fields) -> Architecture:
    """The architecture that a config.json describes; `InputError` naming those that are known."""
    kind = config.get("model_type", str, None)
    if kind is None:  # files of 2019 name only the class
        classes = [name for name in config.get("architectures", list, []) if isinstance(name, str)]
        stems = {a.model_class.removesuffix("Model"): a for a in ARCHITECTURES.values()}
        kind = next((a.model_type for stem, a in stems.items() if any(name.startswith(stem) for name in classes)), None)
    if kind not in ARCHITECTURES:
        accepted = ", ".join(ARCHITECTURES)
        raise InputError(f"{config.where}: model_type {brief(kind)} is not implemented; accepted: {accepted}")
    return ARCHITECTURES[kind]


def architecture_for(c: EncoderConfig) -> Architecture:
    """The architecture whose files can hold an encoder: BERT unless it is pre-norm or has a relative bias.

    `InputError` if there is none.
    """
    if c.rotary:
        return ARCHITECTURES["modernbert"]
    if not c.relative_buckets:
        return ARCHITECTURES["roberta-prelayernorm" if c.norm_first else "bert"]
    if c.norm_first:
        raise InputError("no architecture of the ecosystem has pre-norm blocks and a relative position bias")
    mpnet = ARCHITECTURES["mpnet"]
    if c.relative_buckets != mpnet.relative_buckets:
        raise InputError(f"MPNet's relative bias has {mpnet.relative_buckets} buckets, not {c.relative_buckets}")
    if c.pad_id != mpnet.pad_id:
        raise InputError(f"MPNet's padding id is {mpnet.pad_id}, whatever it says; this encoder's is {c.pad_id}")
    return mpnet
