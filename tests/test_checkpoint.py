"""Result directories: complete, loadable, refused when damaged, never half-written."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from minitx.app.settings import Experiment
from minitx.errors import InputError
from minitx.text.truncation import TruncationWarning
from minitx.training.baseline import BagOfWords
from minitx.training.checkpoint import BASELINE, READ, VERSION, load_model
from minitx.writing import new_directory

TEXTS = ["the app crashes 😡", "love it", ""]


@pytest.fixture
def copy(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "copy")


def test_the_directory_holds_everything(trained):
    assert sorted(path.name for path in trained.iterdir()) == [
        "1_Pooling",
        "baseline.safetensors",
        "calibration_engagement.png",
        "calibration_sentiment.png",
        "config.json",
        "config_sentence_transformers.json",
        "confusion_engagement.png",
        "confusion_sentiment.png",
        "curves.png",
        "gradients.png",
        "heads.safetensors",
        "history.csv",
        "manifest.json",
        "metrics.json",
        "minitx.json",
        "model.safetensors",
        "modules.json",
        "sentence_bert_config.json",
        "timeline.png",
        "tokenizer.json",
        "tokenizer_config.json",
        "trainable.txt",
        "words.safetensors",
    ]
    metrics = json.loads((trained / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["data"]["read"] == metrics["data"]["kept"] + sum(metrics["data"]["dropped"].values())
    assert set(metrics["test"]) == {"sentiment", "engagement"}
    assert sum(metrics["rows"].values()) == metrics["data"]["kept"]
    assert sum(map(sum, metrics["test"]["sentiment"]["confusion"])) == metrics["rows"]["test"]
    assert metrics["test"]["sentiment"]["bag_of_words"]["rows"] == metrics["rows"]["test"]
    assert metrics["leakage"]["same_text"] == metrics["leakage"]["same_id"] == 0
    header, *rows = (trained / "history.csv").read_text(encoding="utf-8").splitlines()
    assert header.startswith("epoch,")
    assert len(rows) == 2
    for picture in trained.glob("*.png"):
        assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.filterwarnings("ignore:.*texts are blank")
def test_loaded_twice_it_gives_the_same_vectors(trained):
    first, second = load_model(trained), load_model(str(trained))
    np.testing.assert_array_equal(first.encoder.encode(TEXTS), second.encoder.encode(TEXTS))
    assert first.predict(TEXTS) == second.predict(TEXTS)
    assert not first.training
    assert first.dropout.p == first.encoder.dropout.p == Experiment.dropout
    assert first.classes["sentiment"] == ("negative", "neutral", "positive")


NEEDED = ["minitx.json", "heads.safetensors", "config.json", "model.safetensors", "tokenizer.json"]


@pytest.mark.parametrize("name", NEEDED)
def test_a_missing_file_is_named(copy, name):
    (copy / name).unlink()
    if name == "minitx.json":
        (copy / "heads.safetensors").touch()  # without both, it is an encoder
    with pytest.raises(InputError, match=f"not a complete result directory: {name} is missing"):
        load_model(copy)


def edit(path, change):
    config = json.loads(path.read_text(encoding="utf-8"))
    change(config)
    path.write_text(json.dumps(config), encoding="utf-8")


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("minitx", {"format": "other"}, 'minitx.json was not written by minitx: "format" is not "minitx"'),
        ("minitx", {"version": 99}, "minitx.json has version 99, written by a newer minitx: update it"),
        ("minitx", {"version": "2"}, "minitx.json: version is '2'; it must be a whole number"),
        ("minitx", {"heads": None}, "minitx.json: heads is missing; it must be an object"),
        ("minitx", {"heads": {"sentiment": 1.5}}, "minitx.json does not describe a model: .*float"),
        ("minitx", {"dropout": "no"}, "minitx.json: dropout is 'no'; it must be a number"),
        ("minitx", {"head_hidden": -1}, "minitx.json: head_hidden is -1; it must be a whole number of at least 0"),
        ("minitx", {"dropout": 2}, r"minitx.json does not describe a model: the dropout .* not 2"),
        ("minitx", {"heads": {"sentiment": 3}}, "kinds are of heads that it has not: engagement"),
        ("minitx", {"thresholds": {}}, "minitx.json: thresholds is nothing that version 4 has"),
        ("minitx", {"answers": {}}, "minitx.json: answers that are not one for each head is nothing that version 4"),
        ("minitx", {"version": 2}, "answers that are not one for each head is nothing that version 2 has"),
        ("minitx", {"words": "0" * 64}, "words.safetensors is not the one that minitx.json was written with"),
        ("minitx", {"heads": {"sentiment": 2, "engagement": 3}}, "heads.safetensors: .*size mismatch for heads.sent"),
        ("config", {"vocab_size": 9}, r"the tokenizer has \d+ tokens, config.json says vocab_size 9"),
    ],
)
def test_a_config_that_is_wrong_is_named(copy, file, change, message):
    edit(copy / f"{file}.json", lambda c: c.update(change))
    with pytest.raises(InputError, match=message) as error:
        load_model(copy)
    assert "\n" not in str(error.value)


SAVED = sorted((Path(__file__).parent / "saved").iterdir())


@pytest.mark.parametrize("directory", SAVED, ids=lambda directory: directory.name)
def test_what_older_versions_wrote_is_read_or_refused_with_what_to_do(directory):
    """A version that is read has kept its predictions beside it; to drop one is to delete predictions.json."""
    if not (directory / "predictions.json").exists():
        version = directory.name.removeprefix("version_")
        with pytest.raises(InputError, match=rf"\.json has version {version}, which is no longer read: train it anew$"):
            load_model(directory)
        return
    kept = json.loads((directory / "predictions.json").read_text(encoding="utf-8"))
    models = {"probabilities": load_model(directory), "bag_of_words": BagOfWords.load(directory / BASELINE)}
    with pytest.warns(TruncationWarning, match="1 of 4"):
        predicted = {name: model.predict_proba(kept["texts"]) for name, model in models.items()}
    for name, heads in predicted.items():
        assert list(heads) == list(kept[name])
        for head, probabilities in heads.items():
            np.testing.assert_allclose(probabilities, kept[name][head], atol=1e-6, rtol=0)


def test_each_version_that_was_written_is_kept():
    assert [path.name for path in SAVED] == [f"version_{version}" for version in range(1, VERSION + 1)]
    assert {f"version_{version}" for version in READ} == {p.name for p in SAVED if (p / "predictions.json").exists()}


def test_version_1_in_minitx_json_is_refused_before_its_files_are_missed(tmp_path):
    (tmp_path / "minitx.json").write_text('{"format": "minitx", "version": 1}', encoding="utf-8")
    with pytest.raises(InputError, match=r"minitx\.json has version 1, which is no longer read: train it anew$"):
        load_model(tmp_path)


@pytest.mark.skipif(os.name == "nt", reason="other rights than POSIX's")
def test_weights_may_be_read_by_whoever_may_read_the_rest(trained):
    for name in ("model.safetensors", "heads.safetensors"):
        assert (trained / name).stat().st_mode == (trained / "minitx.json").stat().st_mode, name


def test_heads_that_are_missing_are_named(copy):
    edit(copy / "minitx.json", lambda c: c["heads"].update(topic=2))
    with pytest.raises(InputError, match=r"heads.safetensors: .*missing heads.topic.weight, heads.topic.bias"):
        load_model(copy)


@pytest.mark.parametrize("name", NEEDED)
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
    before = {path: path.read_bytes() for path in copy.rglob("*.*") if path.is_file()}

    def half_a_run():
        with new_directory(copy, overwrite=True) as directory:
            (directory / "config.json").write_text("half", encoding="utf-8")
            raise RuntimeError("midway")

    with pytest.raises(RuntimeError, match="midway"):
        half_a_run()
    assert {path: path.read_bytes() for path in copy.rglob("*.*") if path.is_file()} == before
    assert [path.name for path in copy.parent.iterdir()] == ["copy"]


def test_an_existing_directory_is_replaced_only_when_asked_and_only_if_it_is_a_result(copy, tmp_path):
    with pytest.raises(InputError, match="exists already"), new_directory(copy):
        pass
    other = tmp_path / "photos"
    other.mkdir()
    (other / "config.json").write_text("{}", "utf-8")  # many programs have one
    with pytest.raises(InputError, match="is not a model directory"), new_directory(other, overwrite=True):
        pass
    with new_directory(copy, overwrite=True) as directory:
        (directory / "new").touch()
    assert [path.name for path in copy.iterdir()] == ["new"]


def test_a_file_in_the_way(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(InputError, match="cannot be written: Not a directory"),
        new_directory(tmp_path / "file" / "run"),
    ):
        pass
