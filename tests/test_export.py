"""The way out: what minitx writes, sentence-transformers and transformers load unchanged, with the same vectors."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from checkpoints import MODELS, TEXTS, make_checkpoint, make_tokenizer
from sentence_transformers import SentenceTransformer
from transformers import AutoModel, AutoTokenizer

from minitx.errors import InputError
from minitx.models.answers import Answer, Answers
from minitx.models.config import EncoderConfig
from minitx.models.encoder import SentenceEncoder
from minitx.models.multitask import MultiTaskModel
from minitx.text.bpe import BPETokenizer
from minitx.text.load import load_tokenizer
from minitx.training.checkpoint import load_model, save_model

# Every choice that has a say in the layout, at least once.
SETTINGS = {
    "as minitx train does": {},
    "learned, cls, normalize": {"positions": "learned", "pooling": "cls", "normalize": True},
    "pre-norm, max": {"norm_first": True, "pooling": "max", "layer_norm_eps": 1e-3},
    "pre-norm, learned": {"norm_first": True, "positions": "learned"},
    "relative bias": {"relative_buckets": 32, "pad_id": 1, "normalize": True},
    "relu": {"activation": "relu"},
}


@pytest.fixture(scope="module")
def tokenizer():
    return BPETokenizer.train(TEXTS * 3, vocab_size=300)


def make_encoder(tokenizer, **settings):
    rng = np.random.default_rng(0)
    sizes = {"hidden_size": 24, "num_heads": 3, "intermediate_size": 40, "max_length": 150, "pad_id": tokenizer.pad_id}
    config = EncoderConfig(tokenizer.vocab_size, **{**sizes, **settings})
    encoder = SentenceEncoder(config, tokenizer, rng=rng)
    for name, parameter in encoder.named_parameters():  # a bias of 0 and a weight of 1 would hide a mistake
        if "norm" in name or "bias" in name or "relative" in name:
            parameter.data = (parameter.data + rng.normal(0, 0.3, parameter.shape)).astype(np.float32)
    return encoder


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_an_encoder_made_here_loads_there(settings, tokenizer, tmp_path):
    if "relative_buckets" in settings:
        make_tokenizer("mpnet").save_pretrained(tmp_path)
        tokenizer = load_tokenizer(tmp_path)
    encoder = make_encoder(tokenizer, **settings)
    encoder.save_pretrained(tmp_path / "model")
    vectors = encoder.encode(TEXTS)

    theirs = SentenceTransformer(str(tmp_path / "model"))
    np.testing.assert_allclose(theirs.encode(TEXTS), vectors, atol=1e-5)
    assert theirs.max_seq_length == 150

    words, model = AutoTokenizer.from_pretrained(tmp_path / "model"), AutoModel.from_pretrained(tmp_path / "model")
    for text in TEXTS:
        ids = words(text, return_tensors="pt", truncation=True)
        assert ids["input_ids"][0].tolist() == encoder.tokenize([text])[0]
        states = model.eval()(**ids).last_hidden_state[0].detach().numpy()
        np.testing.assert_allclose(encoder.encode(text, output_value="token_embeddings"), states, atol=1e-5)

    again = SentenceEncoder.from_pretrained(tmp_path / "model")
    np.testing.assert_array_equal(again.encode(TEXTS), vectors)  # to the last bit, a written-out sinusoid too
    again.save_pretrained(tmp_path / "again")
    for name in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "modules.json"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "model" / name).read_bytes(), name


@pytest.mark.parametrize("kind", MODELS)
def test_a_loaded_model_is_written_and_loads_there(kind, tmp_path):
    make_checkpoint(kind, tmp_path / "theirs")
    encoder = SentenceEncoder.from_pretrained(tmp_path / "theirs")
    encoder.save_pretrained(tmp_path / "ours")
    written = SentenceTransformer(str(tmp_path / "ours"))
    np.testing.assert_allclose(
        written.encode(TEXTS), SentenceTransformer(str(tmp_path / "theirs")).encode(TEXTS), atol=1e-5
    )
    assert written.max_seq_length == encoder.max_seq_length == 160


def test_a_newer_sentence_transformers_writes_what_we_read(tokenizer, tmp_path):
    encoder = make_encoder(tokenizer, normalize=True, pooling="max")
    encoder.save_pretrained(tmp_path / "old")
    SentenceTransformer(str(tmp_path / "old")).save_pretrained(str(tmp_path / "new"))
    kinds = json.loads((tmp_path / "new" / "modules.json").read_text(encoding="utf-8"))
    assert not kinds[0]["type"].startswith("sentence_transformers.models.")
    again = SentenceEncoder.from_pretrained(tmp_path / "new")
    np.testing.assert_array_equal(again.encode(TEXTS), encoder.encode(TEXTS))
    assert again.max_seq_length == 150


def test_a_result_directory_is_an_encoder_here_and_there_and_its_heads_load_in_torch(trained):
    model = load_model(trained)
    model.answers = Answers()
    vectors = model.encoder.encode(TEXTS[:4])
    np.testing.assert_array_equal(SentenceEncoder.from_pretrained(trained).encode(TEXTS[:4]), vectors)
    theirs = SentenceTransformer(str(trained))
    np.testing.assert_allclose(theirs.encode(TEXTS[:4]), vectors, atol=1e-5)

    weights = safetensors.torch.load_file(trained / "heads.safetensors")
    classes = json.loads((trained / "minitx.json").read_text(encoding="utf-8"))["heads"]
    for head, names in classes.items():
        layer = torch.nn.Linear(vectors.shape[1], len(names))
        layer.load_state_dict({kind: weights[f"{head}.{kind}"] for kind in ("weight", "bias")})
        with torch.no_grad():
            expected = layer(theirs.encode(TEXTS[:4], convert_to_tensor=True)).softmax(-1).numpy()
        np.testing.assert_allclose(model.predict_proba(TEXTS[:4])[head], expected, atol=1e-5)


def torch_of_the_docs(directory, capsys):
    """What the page's code prints, and what it should."""
    page = (Path(__file__).parents[1] / "docs" / "in-and-out.md").read_text(encoding="utf-8")
    code = re.search(r"```python\n(.*?)```", page, re.DOTALL)[1]
    exec(code, {"directory": str(directory)})
    text = "crashes all the time since the update"
    model = load_model(directory)
    model.answers = model.answers.without_words()
    expected = [(head, *answer) for head, answer in model.predict([text])[0].items()]
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    return [(head, label, pytest.approx(float(p), abs=1e-5)) for head, label, p in lines], expected


def test_the_torch_in_the_docs_gives_what_minitx_trains(trained, capsys):
    found, expected = torch_of_the_docs(trained, capsys)
    assert found == expected


@pytest.mark.parametrize("hidden", [0, 12])
@pytest.mark.parametrize("normalize", [False, True])
def test_the_torch_in_the_docs_knows_heads_of_every_kind(tokenizer, tmp_path, capsys, normalize, hidden):
    encoder, rng = make_encoder(tokenizer, normalize=normalize), np.random.default_rng(1)
    heads = {"mood": 4, "stars": 5, "level": 3, "two": 2}
    kinds = {"stars": "ordinal", "level": "corn", "two": "ordinal"}
    model = MultiTaskModel(encoder, heads, 0.1, hidden, kinds, rng=rng)
    for name, parameter in model.named_parameters():
        if name.startswith("heads"):
            parameter.data = (parameter.data + rng.normal(0, 0.5, parameter.shape)).astype(np.float32)
    model.answers = Answers({head: Answer(alone=0.3 + i / 3, scale=0.5) for i, head in enumerate(heads)})
    model.eval()
    save_model(model, tmp_path)
    found, expected = torch_of_the_docs(tmp_path, capsys)
    assert found == expected
    settings = json.loads((tmp_path / "minitx.json").read_text(encoding="utf-8"))
    (tmp_path / "minitx.json").write_text(json.dumps(settings | {"vector_scale": 7.0}), encoding="utf-8")
    with pytest.raises(InputError, match=r"vector_scale is 7\.0, of this encoder it is "):
        load_model(tmp_path)


def test_what_cannot_be_saved(tokenizer, tmp_path):
    cases = [
        ({"norm_first": True, "relative_buckets": 4}, "no architecture of the ecosystem has pre-norm blocks and a rel"),
        ({"relative_buckets": 32, "pad_id": 0}, "MPNet's padding id is 1"),
        ({"norm_first": True, "pad_id": 7}, "the tokenizer's padding id is 0, the encoder's 7"),
        ({"relative_buckets": 8, "pad_id": 1}, "MPNet's relative bias has 32 buckets, not 8"),
    ]
    for settings, message in cases:
        with pytest.raises(InputError, match=message):
            make_encoder(tokenizer, **settings).save_pretrained(tmp_path / "model")
    with pytest.raises(InputError, match="with which an encoder is saved"):
        SentenceEncoder(EncoderConfig(30), rng=np.random.default_rng(0)).save_pretrained(tmp_path / "model")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "notes.txt").touch()
    with pytest.raises(InputError, match="is not a model directory"):
        make_encoder(tokenizer).save_pretrained(tmp_path / "model")


def test_saving_over_the_directory_it_came_from(tokenizer, tmp_path):
    make_encoder(tokenizer).save_pretrained(tmp_path / "model")
    encoder = SentenceEncoder.from_pretrained(tmp_path / "model")
    encoder.embedding.weight.data *= 0.5
    encoder.save_pretrained(tmp_path / "model", overwrite=True)
    again = SentenceEncoder.from_pretrained(tmp_path / "model")
    np.testing.assert_array_equal(again.encode(TEXTS), encoder.encode(TEXTS))
