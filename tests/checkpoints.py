"""Tiny random checkpoints of every architecture, as transformers and sentence-transformers write them."""

from pathlib import Path

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

TEXTS = [
    "The app crashes all the time since the update!",
    "Great.",
    "ok",
    "",
    "I can't log in any more, and nobody answers. Ça ne marche pas 😡 — please fix it, I have paid for the whole year.",
]
MODELS = {
    "bert": (transformers.BertConfig, transformers.BertModel),
    "distilbert": (transformers.DistilBertConfig, transformers.DistilBertModel),
    "roberta": (transformers.RobertaConfig, transformers.RobertaModel),
    "mpnet": (transformers.MPNetConfig, transformers.MPNetModel),
    "roberta-prelayernorm": (transformers.RobertaPreLayerNormConfig, transformers.RobertaPreLayerNormModel),
    "modernbert": (transformers.ModernBertConfig, transformers.ModernBertModel),
}
MORE_MODELS = {  # the same stacks under other names
    "electra": (transformers.ElectraConfig, transformers.ElectraModel),
    "xlm-roberta": (transformers.XLMRobertaConfig, transformers.XLMRobertaModel),
    "camembert": (transformers.CamembertConfig, transformers.CamembertModel),
}
# Odd sizes, no two alike, so that no axis can be mistaken for another.
SIZES = {
    "hidden_size": 21,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 34,
    "max_position_embeddings": 170,
}
DISTILBERT = {
    "hidden_size": "dim",
    "num_hidden_layers": "n_layers",
    "num_attention_heads": "n_heads",
    "intermediate_size": "hidden_dim",
}


def make_tokenizer(kind: str) -> transformers.PreTrainedTokenizerFast:
    """WordPiece or byte-level BPE with the special tokens of the architecture, learned from TEXTS."""
    if kind in ("bert", "distilbert", "electra"):
        names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    else:
        names = {"cls_token": "<s>", "pad_token": "<pad>", "sep_token": "</s>"}
        names |= {"unk_token": "[UNK]" if kind == "mpnet" else "<unk>"}
    if "roberta" in kind or kind in ("camembert", "modernbert"):
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(
            vocab_size=320, special_tokens=list(names.values()), initial_alphabet=alphabet, show_progress=False
        )
    else:
        tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
        tokenizer.normalizer = normalizers.BertNormalizer()
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        tokenizer.decoder = decoders.WordPiece()
        trainer = trainers.WordPieceTrainer(vocab_size=120, special_tokens=list(names.values()), show_progress=False)
    tokenizer.train_from_iterator(TEXTS, trainer)
    first, last = names["cls_token"], names["sep_token"]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{first} $A {last}",
        pair=f"{first} $A {last} $B {last}",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in (first, last)],
    )
    return transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=160, **names)


def make_checkpoint(kind: str, path: Path, **settings) -> torch.nn.Module:
    """Write a plain transformers directory with large random weights; returns the torch model, in eval mode."""
    config_class, model_class = (MODELS | MORE_MODELS)[kind]
    tokenizer = make_tokenizer(kind)
    sizes = {DISTILBERT.get(key, key) if kind == "distilbert" else key: value for key, value in SIZES.items()}
    sizes |= {"embedding_size": sizes["hidden_size"]} if kind == "electra" else {}
    sizes |= {"hidden_size": 24, "num_hidden_layers": 4, "local_attention": 12} if kind == "modernbert" else {}
    config = config_class(vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id, **{**sizes, **settings})
    torch.manual_seed(0)
    model = model_class(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():  # a bias of 0 and a weight of 1 would hide a mistake
            parameter.normal_(1.0 if "orm.weight" in name else 0.0, 0.3)
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    return model
