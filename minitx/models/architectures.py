"""How do the ecosystem's encoders spell what SentenceEncoder is made of? One table of names for each architecture.

All are the same stack with small differences, which is why one class can be all of them:

    BERT (MiniLM, E5, BGE, GTE ...)     post-norm blocks, learned positions, token types
    DistilBERT                          without token types
    RoBERTa                             positions start after the padding id: row pad_id + 1 is the first token's
    MPNet                               likewise, without token types, and with a relative position bias for all blocks
    RoBERTa-PreLayerNorm                RoBERTa with pre-norm blocks

Token types tell two sentences of a pair apart. An encoder of single sentences only ever uses row 0, which is therefore
added to the positions on reading; on writing, the only row is zero.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from minitx.errors import InputError
from minitx.models.config import EncoderConfig

# Name of a layer here -> its name there; * is the number of a block. `.weight` and `.bias` are the same in both.
EMBEDDINGS = {
    "embedding": "embeddings.word_embeddings",
    "position": "embeddings.position_embeddings",
    "norm": "embeddings.LayerNorm",
}
BERT_ATTENTION = {
    "transformer.blocks.*.attention.query": "encoder.layer.*.attention.self.query",
    "transformer.blocks.*.attention.key": "encoder.layer.*.attention.self.key",
    "transformer.blocks.*.attention.value": "encoder.layer.*.attention.self.value",
    "transformer.blocks.*.attention.out": "encoder.layer.*.attention.output.dense",
}
BERT_FEED_FORWARD = {
    "transformer.blocks.*.feed_forward.linear1": "encoder.layer.*.intermediate.dense",
    "transformer.blocks.*.feed_forward.linear2": "encoder.layer.*.output.dense",
}
BERT = {
    **EMBEDDINGS,
    **BERT_ATTENTION,
    "transformer.blocks.*.norm1": "encoder.layer.*.attention.output.LayerNorm",
    **BERT_FEED_FORWARD,
    "transformer.blocks.*.norm2": "encoder.layer.*.output.LayerNorm",
}
DISTILBERT = {
    **EMBEDDINGS,
    "transformer.blocks.*.attention.query": "transformer.layer.*.attention.q_lin",
    "transformer.blocks.*.attention.key": "transformer.layer.*.attention.k_lin",
    "transformer.blocks.*.attention.value": "transformer.layer.*.attention.v_lin",
    "transformer.blocks.*.attention.out": "transformer.layer.*.attention.out_lin",
    "transformer.blocks.*.norm1": "transformer.layer.*.sa_layer_norm",
    "transformer.blocks.*.feed_forward.linear1": "transformer.layer.*.ffn.lin1",
    "transformer.blocks.*.feed_forward.linear2": "transformer.layer.*.ffn.lin2",
    "transformer.blocks.*.norm2": "transformer.layer.*.output_layer_norm",
}
MPNET = {
    **EMBEDDINGS,
    "relative_position": "encoder.relative_attention_bias",
    "transformer.blocks.*.attention.query": "encoder.layer.*.attention.attn.q",
    "transformer.blocks.*.attention.key": "encoder.layer.*.attention.attn.k",
    "transformer.blocks.*.attention.value": "encoder.layer.*.attention.attn.v",
    "transformer.blocks.*.attention.out": "encoder.layer.*.attention.attn.o",
    "transformer.blocks.*.norm1": "encoder.layer.*.attention.LayerNorm",
    **BERT_FEED_FORWARD,
    "transformer.blocks.*.norm2": "encoder.layer.*.output.LayerNorm",
}
ROBERTA_PRELAYERNORM = {
    **EMBEDDINGS,
    **BERT_ATTENTION,
    "transformer.blocks.*.norm1": "encoder.layer.*.attention.LayerNorm",
    **BERT_FEED_FORWARD,
    "transformer.blocks.*.norm2": "encoder.layer.*.intermediate.LayerNorm",
    "transformer.norm": "LayerNorm",
}

# Field of EncoderConfig -> key of config.json.
BERT_SETTINGS = {
    "vocab_size": "vocab_size",
    "hidden_size": "hidden_size",
    "num_layers": "num_hidden_layers",
    "num_heads": "num_attention_heads",
    "intermediate_size": "intermediate_size",
    "max_length": "max_position_embeddings",
    "activation": "hidden_act",
    "dropout": "hidden_dropout_prob",
    "layer_norm_eps": "layer_norm_eps",
    "pad_id": "pad_token_id",
}
DISTILBERT_SETTINGS = {
    "vocab_size": "vocab_size",
    "hidden_size": "dim",
    "num_layers": "n_layers",
    "num_heads": "n_heads",
    "intermediate_size": "hidden_dim",
    "max_length": "max_position_embeddings",
    "activation": "activation",
    "dropout": "dropout",
    "pad_id": "pad_token_id",
}
# What transformers assumes where config.json is silent; sizes are never assumed.
DEFAULTS: dict[str, Any] = {"activation": "gelu", "dropout": 0.1, "layer_norm_eps": 1e-12}
KINDS: dict[str, tuple[type, ...]] = {"activation": (str,), "dropout": (int, float), "layer_norm_eps": (int, float)}
# Weights that belong to other uses of the same checkpoint: pooling for pretraining, predicting words, classifying.
OTHER_USES = re.compile(
    r"pooler\.|embeddings\.(position_ids|token_type_ids)$"
    r"|(cls|lm_head|classifier|pre_classifier|qa_outputs|vocab_transform|vocab_layer_norm|vocab_projector)\."
)
TOKEN_TYPES = "embeddings.token_type_embeddings.weight"


@dataclass(frozen=True)
class Architecture:
    """One family of checkpoints: its names, and in what it differs from BERT."""

    model_type: str  # as config.json says it
    model_class: str  # of transformers, for `architectures` in config.json
    layers: Mapping[str, str]
    settings: Mapping[str, str]
    pad_id: int = 0  # where config.json does not say
    positions_after_pad: bool = False  # position 0 is row pad_id + 1 of the table
    token_types: bool = True
    norm_first: bool = False
    relative_buckets: int = 0  # transformers computes MPNet's buckets for a table of 32, whatever config.json says

    def read_config(self, config: Mapping[str, Any], where: str) -> EncoderConfig:
        """What config.json says, as an EncoderConfig; `InputError` for what is missing, wrong or not implemented."""
        for key, accepted in (("position_embedding_type", "absolute"), ("is_decoder", False)):
            if config.get(key, accepted) != accepted:
                raise InputError(f"{where}: {key} {config[key]!r} is not implemented; accepted: {accepted!r}")
        fields: dict[str, Any] = {"norm_first": self.norm_first, "relative_buckets": self.relative_buckets}
        for field, default in {**DEFAULTS, "pad_id": self.pad_id}.items():
            fields[field] = default
        for field, key in self.settings.items():
            value = config.get(key, fields.get(field))
            kinds = KINDS.get(field, (int,))
            if value is None and field == "pad_id":
                value = self.pad_id
            if not isinstance(value, kinds) or isinstance(value, bool):
                found = "is missing" if value is None else f"is {value!r}"
                raise InputError(f"{where}: {key} {found}; it must be {'text' if str in kinds else 'a number'}")
            fields[field] = value
        fields["max_length"] -= self.first_position(fields["pad_id"])
        if self.relative_buckets and fields["pad_id"] != self.pad_id:
            raise InputError(f"{where}: pad_token_id is {fields['pad_id']}; MPNet's code takes {self.pad_id} for it")
        try:
            return EncoderConfig(**fields, positions="learned")
        except InputError as error:
            raise InputError(f"{where}: {error}") from error

    def write_config(self, c: EncoderConfig) -> dict[str, Any]:
        """The config.json of an encoder; the reverse of `read_config`."""
        values = {key: getattr(c, field) for field, key in self.settings.items()}
        values[self.settings["max_length"]] += self.first_position(c.pad_id)
        rest = {"attention_probs_dropout_prob": c.dropout, "initializer_range": 0.02}
        rest |= {"type_vocab_size": 1} if self.token_types else {}
        rest |= {"relative_attention_num_buckets": c.relative_buckets} if c.relative_buckets else {}
        return {"architectures": [self.model_class], "model_type": self.model_type, **values, **rest}

    def first_position(self, pad_id: int) -> int:
        """The row of the position table that belongs to the first token."""
        return pad_id + 1 if self.positions_after_pad else 0

    def names(self, ours: Iterable[str]) -> dict[str, str]:
        """Our names of parameters -> theirs."""
        result = {}
        for name in ours:
            layer, kind = name.rsplit(".", 1)
            number = re.search(r"\.(\d+)\.", layer)
            theirs = self.layers[re.sub(r"\.\d+\.", ".*.", layer)]
            result[name] = f"{theirs.replace('*', number[1]) if number else theirs}.{kind}"
        return result


ARCHITECTURES = {
    architecture.model_type: architecture
    for architecture in (
        Architecture("bert", "BertModel", BERT, BERT_SETTINGS),
        Architecture("distilbert", "DistilBertModel", DISTILBERT, DISTILBERT_SETTINGS, token_types=False),
        Architecture("roberta", "RobertaModel", BERT, BERT_SETTINGS, pad_id=1, positions_after_pad=True),
        Architecture(
            "mpnet",
            "MPNetModel",
            MPNET,
            BERT_SETTINGS,
            pad_id=1,
            positions_after_pad=True,
            token_types=False,
            relative_buckets=32,
        ),
        Architecture(
            "roberta-prelayernorm",
            "RobertaPreLayerNormModel",
            ROBERTA_PRELAYERNORM,
            BERT_SETTINGS,
            pad_id=1,
            positions_after_pad=True,
            norm_first=True,
        ),
    )
}


def architecture_of(config: Mapping[str, Any], where: str) -> Architecture:
    """The architecture that a config.json describes; `InputError` naming those that are known."""
    kind = config.get("model_type")
    if kind is None:  # files of 2019 name only the class
        classes = [name for name in config.get("architectures") or [] if isinstance(name, str)]
        kinds = {a.model_class.removesuffix("Model"): a.model_type for a in ARCHITECTURES.values()}
        kind = next((kinds[stem] for stem in kinds if any(name.startswith(stem) for name in classes)), None)
    if kind not in ARCHITECTURES:
        raise InputError(f"{where}: model_type {kind!r} is not implemented; accepted: {', '.join(ARCHITECTURES)}")
    return ARCHITECTURES[kind]


def architecture_for(c: EncoderConfig) -> Architecture:
    """The architecture whose files can hold an encoder: BERT unless it is pre-norm or has a relative bias.

    `InputError` if there is none.
    """
    if not c.relative_buckets:
        return ARCHITECTURES["roberta-prelayernorm" if c.norm_first else "bert"]
    if c.norm_first:
        raise InputError("no architecture of the ecosystem has pre-norm blocks and a relative position bias")
    mpnet = ARCHITECTURES["mpnet"]
    if c.relative_buckets != mpnet.relative_buckets:
        raise InputError(f"MPNet's relative bias has {mpnet.relative_buckets} buckets, not {c.relative_buckets}")
    if c.pad_id != mpnet.pad_id:
        raise InputError(f"MPNet's padding id is {mpnet.pad_id}, whatever config.json says, not {c.pad_id}")
    return mpnet
