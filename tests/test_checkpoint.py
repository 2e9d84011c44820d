"""Result directories: complete, loadable, refused when damaged, never half-written."""

import json
import shutil

import numpy as np
import pytest

from minitx.errors import InputError
from minitx.experiment import Experiment
from minitx.training.checkpoint import load_model, new_directory

TEXTS = ["the app crashes 😡", "love it", ""]


@pytest.fixture
def copy(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "copy")


def test_the_directory_holds_everything(trained):
    assert sorted(path.name for path in trained.iterdir()) == [
        "config.json",
        "confusion_engagement.png",
        "confusion_sentiment.png",
        "curves.png",
        "gradients.png",
        "history.csv",
        "metrics.json",
        "model.safetensors",
        "timeline.png",
        "tokenizer.json",
        "trainable.txt",
    ]
    metrics = json.loads((trained / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["data"]["read"] == metrics["data"]["kept"] + sum(metrics["data"]["dropped"].values())
    assert set(metrics["test"]) == {"sentiment", "engagement"}
    assert sum(metrics["rows"].values()) == metrics["data"]["kept"]
    assert sum(map(sum, metrics["test"]["sentiment"]["confusion"])) == metrics["rows"]["test"]
    header, *rows = (trained / "history.csv").read_text(encoding="utf-8").splitlines()
    assert header.startswith("epoch,")
    assert len(rows) == 2
    for picture in trained.glob("*.png"):
        assert picture.read_bytes().startswith(b"\x89PNG")


def test_loaded_twice_it_gives_the_same_vectors(trained):
    first, second = load_model(trained), load_model(str(trained))
    np.testing.assert_array_equal(first.encoder.encode(TEXTS), second.encoder.encode(TEXTS))
    assert first.predict(TEXTS) == second.predict(TEXTS)
    assert not first.training
    assert first.dropout.p == first.encoder.dropout.p == Experiment.dropout
    assert first.classes["sentiment"] == ("negative", "neutral", "positive")


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_missing_piece_is_named(copy, name):
    (copy / name).unlink()
    with pytest.raises(InputError, match=f"not a complete result directory: {name} is missing"):
        load_model(copy)


def edit(path, change):
    config = json.loads(path.read_text(encoding="utf-8"))
    change(config)
    path.write_text(json.dumps(config), encoding="utf-8")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(format="other"), 'config.json was not written by minitx: "format" is not "minitx"'),
        (lambda c: c.update(version=99), "config.json has version 99, this minitx reads version 1"),
        (lambda c: c["encoder"].update(colour="red"), "config.json does not describe a model: .*colour"),
        (lambda c: c["encoder"].update(num_heads=3), "config.json does not describe a model: .*multiple of 3"),
        (lambda c: c["encoder"].update(hidden_size="16"), "config.json does not describe a model"),
        (lambda c: c.pop("heads"), "config.json does not describe a model: .*heads"),
        (lambda c: c["encoder"].update(vocab_size=9), r"tokenizer.json has \d+ tokens, config.json says 9"),
        (
            lambda c: c["encoder"].update(hidden_size=32),
            "model.safetensors: .*size mismatch for encoder.embedding.weight",
        ),
        (lambda c: c["encoder"].update(num_layers=2), "model.safetensors: .*missing encoder.transformer.blocks.1"),
        (lambda c: c["heads"].pop("engagement"), "model.safetensors: .*unexpected heads.engagement.bias"),
    ],
)
def test_a_config_that_is_wrong_is_named(copy, change, message):
    edit(copy / "config.json", change)
    with pytest.raises(InputError, match=message) as error:
        load_model(copy)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
@pytest.mark.parametrize("damage", [b"", b"{", b"\xff\xfe\x00garbage", b"[" * 100_000])
def test_a_damaged_file_is_named(copy, name, damage):
    (copy / name).write_bytes(damage)
    with pytest.raises(InputError, match=name):
        load_model(copy)


def test_a_truncated_weights_file_is_named(copy):
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-10])
    with pytest.raises(InputError, match=r"model\.safetensors"):
        load_model(copy)


def test_not_a_directory(trained, tmp_path):
    with pytest.raises(InputError, match="is not a directory"):
        load_model(tmp_path / "none")
    with pytest.raises(InputError, match="is not a directory"):
        load_model(trained / "config.json")


def test_a_run_that_fails_leaves_what_was_there(copy):
    before = {path.name: path.read_bytes() for path in copy.iterdir()}

    def half_a_run():
        with new_directory(copy, overwrite=True) as directory:
            (directory / "config.json").write_text("half", encoding="utf-8")
            raise RuntimeError("midway")

    with pytest.raises(RuntimeError, match="midway"):
        half_a_run()
    assert {path.name: path.read_bytes() for path in copy.iterdir()} == before
    assert [path.name for path in copy.parent.iterdir()] == ["copy"]


def test_an_existing_directory_is_replaced_only_when_asked_and_only_if_it_is_a_result(copy, tmp_path):
    with pytest.raises(InputError, match="exists already"), new_directory(copy):
        pass
    other = tmp_path / "photos"
    other.mkdir()
    with pytest.raises(InputError, match="is not a result directory"), new_directory(other, overwrite=True):
        pass
    with new_directory(copy, overwrite=True) as directory:
        (directory / "new").touch()
    assert [path.name for path in copy.iterdir()] == ["new"]


def test_a_file_in_the_way(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot create"), new_directory(tmp_path / "file" / "run"):
        pass
