"""Recipes and settings: complete, checked before anything is read, and what overrides what."""

import dataclasses
import json
import re
import shutil
import tomllib
from pathlib import Path

import numpy as np
import pytest
from checkpoints import make_checkpoint
from conftest import TINY
from test_cli import elsewhere, refused, run  # noqa: F401 - a fixture

from minitx.app.settings import RECIPES, Experiment, apply_assignment, experiment_of, read_recipe, recipe_names
from minitx.data.samples import synthetic_reviews
from minitx.errors import InputError
from minitx.training.checkpoint import load_model
from minitx.training.thawing import Stage

FROM_SCRATCH = ["--set", "pretrained=''", "--set", "train_rows=120", *TINY, "--num-layers", "3"]


def test_the_five_write_ups_are_there():
    assert {"netflix-scratch", "mpnet-topics", "distilbert-mlp", "mpnet-llrd", "bert-gradual"} <= set(recipe_names())


@pytest.mark.parametrize("name", recipe_names())
def test_a_recipe_is_complete_and_short(name):
    """What decides the result is written down, not left to defaults that may change."""
    text = (RECIPES / f"{name}.toml").read_text(encoding="utf-8")
    settings = read_recipe(name)
    assert settings == tomllib.loads(text)
    experiment = experiment_of(settings)
    needed = {"about", "source", "seed", "max_length", "pooling", "dropout", "head_dropout", "epochs", "batch_size"}
    needed |= {"schedule", "warmup", "weight_decay", "class_weighting", "weight_average"}
    needed |= {"pretrained", "normalize"} if experiment.pretrained else {"vocab_size", "hidden_size", "num_layers"}
    assert needed <= set(settings)
    assert "head_lr" in settings or {"heads"} <= set(experiment.rates) or {"sentiment"} <= set(experiment.rates)
    assert len(text.splitlines()) < 80
    assert max(map(len, text.splitlines())) <= 120


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_runs_and_its_model_loads(capsys, name):
    """On a small encoder from scratch; the data is the recipe's own."""
    code, out, err = run(capsys, "train", "--recipe", name, "--out", "model", *FROM_SCRATCH, "--epochs", 6)
    assert code == 0, err
    assert "weights train" in out
    metrics = json.loads(Path("model/metrics.json").read_text(encoding="utf-8"))
    assert metrics["test"].keys() == load_model("model").classes.keys()
    assert out.count("always the largest class") == len(metrics["test"]) + len(metrics["test_two_stage"])
    code, out, _ = run(capsys, "predict", "model", "it crashes")
    assert code == 0


KINDS = {"mpnet-topics": "mpnet", "mpnet-llrd": "mpnet", "distilbert-mlp": "distilbert", "bert-gradual": "bert"}


@pytest.mark.parametrize(("name", "kind"), KINDS.items())
def test_a_recipe_runs_on_a_download_of_its_model_by_changing_one_line(capsys, tmp_path, name, kind):
    """A tiny random model of the write-up's architecture, as transformers saves it; and the result predicts alike."""
    make_checkpoint(kind, tmp_path / "download", **{"n_layers" if kind == "distilbert" else "num_hidden_layers": 4})
    recipe = (RECIPES / f"{name}.toml").read_text(encoding="utf-8")
    (tmp_path / "mine.toml").write_text(
        recipe.replace('pretrained = "all-MiniLM-L6-v2"', 'pretrained = "download"'), "utf-8"
    )
    arguments = ["--recipe", "mine.toml", "--out", "model", "--train-rows", 60, "--max-length", 40]
    code, _, err = run(capsys, "train", *arguments, "--set", "batch_size=16")
    assert code == 0, err
    model = load_model("model")
    texts = ["The app crashes!", "ok", "I have paid for the whole year. Great."]
    before = model.predict_proba(texts)
    shutil.copytree("model", "moved")
    for head, probabilities in load_model("moved").predict_proba(texts).items():
        np.testing.assert_array_equal(probabilities, before[head])
    assert model.encoder.config.pooling == "mean"
    assert model.encoder.max_seq_length == 40


def test_frozen_backbone_keeps_the_pretrained_bits(capsys, tmp_path):
    torch_model = make_checkpoint("distilbert", tmp_path / "download")
    arguments = ["--recipe", "distilbert-mlp", "--pretrained", "download", "--out", "model", "--train-rows", 60]
    assert run(capsys, "train", *arguments, "--epochs", 2)[0] == 0
    weights = load_model("model").state_dict()
    expected = torch_model.state_dict()
    np.testing.assert_array_equal(
        weights["encoder.embedding.weight"], expected["embeddings.word_embeddings.weight"].numpy()
    )
    name = "transformer.layer.1.attention.q_lin.weight"
    np.testing.assert_array_equal(
        weights["encoder.transformer.blocks.1.attention.query.weight"], expected[name].numpy()
    )


def test_without_a_recipe_it_is_the_defaults():
    assert experiment_of({}) == Experiment()
    assert set(recipe_names()).isdisjoint({"default"})


def test_what_overrides_what(capsys, tmp_path):
    """Flags go before --set, --set before the recipe, the recipe before defaults."""
    (tmp_path / "mine.toml").write_text("epochs = 1\nlr = 1e-4\nhead_lr = 1e-4\n[rates]\nsentiment = 1e-2\n", "utf-8")
    flags = ["--set", "lr=2e-4", "--set", "head_lr=2e-4", "--set", "rates.engagement=3e-2", "--lr", "3e-4"]
    assert run(capsys, "train", "--recipe", "mine.toml", "--out", "model", *TINY[2:], *flags)[0] == 0
    used = json.loads((tmp_path / "model" / "metrics.json").read_text(encoding="utf-8"))["experiment"]
    assert (used["epochs"], used["lr"], used["head_lr"]) == (1, 3e-4, 2e-4)
    assert used["rates"] == {"sentiment": 1e-2, "engagement": 3e-2}
    assert used["weight_decay"] == Experiment().weight_decay
    rates = (tmp_path / "model" / "trainable.txt").read_text(encoding="utf-8")
    assert "3.00e-02" in rates
    assert "1.00e-02" in rates


def test_the_plan_alone(capsys, tmp_path):
    code, out, _ = run(capsys, "train", "--recipe", "bert-gradual", *FROM_SCRATCH, "--epochs", 6, "--plan", "plan.png")
    assert code == 0
    assert "nothing was trained" in out
    assert [path.name for path in tmp_path.iterdir()] == ["plan.png"]
    assert "plan.png exists already" in refused(capsys, "train", "--plan", "plan.png")


def test_recipes_lists_name_source_and_a_line(capsys):
    code, out, _ = run(capsys, "recipes")
    assert code == 0
    for name in recipe_names():
        assert name in out
        assert read_recipe(name)["source"] in out


def test_help_explains_every_setting(capsys):
    code, out, _ = run(capsys, "train", "--help")
    assert code == 0
    words, (_, tables) = " ".join(out.split()), out.split("tables and lists, which a recipe or --set gives:\n")
    for setting in dataclasses.fields(Experiment):
        about = setting.metadata["help"]
        assert about
        if isinstance(setting.default, tuple) or setting.default is dataclasses.MISSING:
            assert re.search(rf"^  {setting.name} +{re.escape(about)}$", tables, re.MULTILINE), setting.name
        else:
            assert f"--{setting.name.replace('_', '-')}" in words
            assert about in words
    assert len(tables.strip().splitlines()) == 11
    assert "stages" in tables


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"learning_rate": 1}, "unknown setting 'learning_rate'; did you mean lr?"),
        ({"head_lrs": 1}, "unknown setting 'head_lrs'; did you mean head_lr?"),
        ({"epochs": 1.5}, "epochs must be a whole number, not 1.5"),
        ({"epochs": True}, "epochs must be a whole number, not True"),
        ({"lr": "fast"}, "lr must be a number, not 'fast'"),
        ({"lr": -1}, "lr must be at least 0"),
        ({"normalize": 1}, "normalize must be true or false, not 1"),
        ({"freeze": "heads"}, "freeze must be a list in .brackets., not 'heads'"),
        ({"freeze": [1]}, "freeze must be a list of parts"),
        ({"rates": 3}, "rates must be a table, not 3"),
        ({"rates": {"heads": "x"}}, "rates.heads must be a number, not 'x'"),
        ({"rates": {"heads": -1}}, "rates.heads must be at least 0"),
        ({"task_weights": {"a": -1}}, "task_weights.a must be at least 0"),
        ({"words": {"a": 1}}, "words.a must be text"),
        ({"stages": [{"train": ["heads"], "epochs": 1}]}, "stage 1: unknown setting 'epochs'; did you mean epoch?"),
        ({"stages": [{"tran": ["heads"]}]}, "stage 1: unknown setting 'tran'; did you mean train?"),
        ({"stages": ["heads"]}, "stage 1: expected a table that says what trains"),
        ({"stages": [{"epoch": 1}]}, "stage 1: expected a table that says what trains"),
        ({"stages": [{"train": "heads", "rate": "x"}]}, "stage 1: rate must be a number"),
        (
            {"stages": [{"train": "heads"}, {"train": "heads", "epoch": 8}]},
            "stage 2 begins at epoch 8: expected after 0 and before the end, 8; train for more epochs, or give other",
        ),
        ({"stages": [{"train": 3}]}, "stage 1: train must be a list of parts, not 3"),
        ({"layer_decay": 0}, "layer_decay must be above 0"),
        ({"layer_decay": 1.1}, "layer_decay must be above 0 and at most 1"),
        ({"task_weighting": "learned"}, "unknown task_weighting 'learned': choose from fixed, uncertainty"),
        ({"vocab_size": 200}, "vocab_size must be at least 261"),
        ({"max_length": 2}, "max_length must be at least 3"),
        ({"head_dropout": 1.0}, "head_dropout must be from 0 to 0.99998, not 1.0"),
        ({"head_dropout": 0.999995}, "head_dropout must be from 0 to 0.99998"),  # training would die of it
        ({"label_smoothing": 1.0}, r"label_smoothing must be in \[0, 1\)"),
        ({"data": "x.csv", "text": "t", "labels": {"a.b": "c"}}, "head name 'a.b'"),
        ({"rules": {"a b": {"x": {}, "y": {}}}}, "head name 'a b'"),
        ({"rules": {"a": {"x": {}, "y": {}}}, "labels": {"a": "b"}, "data": "x", "text": "t"}, "not from both"),
        ({"rules": {"a": {"x": {}, "y": {}}}, "data": "synthetic sentences"}, "rules are for review files"),
        ({"two_stage": {"topic": "sentiment"}}, "two_stage.topic: expected two heads"),
        ({"kinds": {"a": "Ordinal"}}, "kinds.a is 'Ordinal'; did you mean ordinal?"),
        ({"data": "x.csv", "text": "t", "labels": {"text": "c"}}, "a head cannot be called text"),
        ({"classes": {"a": "low"}}, "classes.a must be a list, not 'low'"),
    ],
)
def test_settings_that_cannot_be_used(settings, message):
    with pytest.raises(InputError, match=message):
        experiment_of(settings)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--recipe", "mpnet-topic"], "no recipe mpnet-topic: did you mean mpnet-topics?"),
        (["--recipe", "nowhere.toml"], "nowhere.toml: No such file"),
        (["--set", "lr"], "expected key=value"),
        (["--set", "lrr=1"], "unknown setting 'lrr'; did you mean lr?"),
        (["--set", "lr.x=1"], "lr is not a table, so lr.x cannot be set"),
        (["--set", "freeze=['encodr']"], "no parameter of this model is 'encodr'"),
        (["--set", "rates.sentimnt=1e-3"], "did you mean sentiment"),
        (["--set", "stages=[{train=['heads'], epoch=1}]"], "stage 1 begins at epoch 1: expected 0"),
        (["--set", "two_stage.topic=['a', 'b']"], "two_stage: there is no head 'topic'"),
        (["--set", "two_stage.sentiment=['engagement', 'sentiment']"], "two_stage: classes of sentiment must be"),
        (["--set", "task_weights.sentimnt=2"], "task_weights: there is no head 'sentimnt'"),
        (["--task-weighting", "uncertainty", "--set", "task_weights.sentiment=2"], "fixed or learned, not both"),
        (["--plan", "x/plan.png"], "x is not a directory"),
        (["--plan", "/proc/plan.png"], "cannot write to /proc: "),
        (["--recipe", "mpnet-llrd", "--set", "epochs=2"], "stage 3 begins at epoch 2: expected after 1 and before"),
        (["--plan", "plan.jpg"], "plan.jpg: the output is a .png file"),
        (
            ["--data", "synthetic sentences", "--set", "labels.mood=mood"],
            "synthetic sentences: no column mood; the header has topic, kind",
        ),
        (["--pretrained", "nowhere"], "nowhere"),
        (["--set", "kinds.mood=corn"], "classes and kinds: there is no head 'mood': there is sentiment, engagement"),
        (["--set", "classes.engagement=['low', 'high']"], "classes.engagement: expected all of low, moderate, high"),
    ],
)
def test_arguments_that_cannot_be_used(capsys, tmp_path, arguments, message):
    assert message in refused(capsys, "train", *arguments, "--out", "model", *TINY)
    assert list(tmp_path.iterdir()) == []


def test_a_recipe_that_is_not_toml(capsys, tmp_path):
    (tmp_path / "mine.toml").write_text("lr = ", encoding="utf-8")
    assert "mine.toml is not TOML" in refused(capsys, "train", "--recipe", "mine.toml")
    (tmp_path / "mine.toml").write_text("lrs = 1", encoding="utf-8")
    assert "mine.toml: unknown setting 'lrs'; did you mean lr" in refused(capsys, "train", "--recipe", "mine.toml")


def test_stages_become_stages():
    stages = experiment_of({"stages": [{"train": "heads"}, {"train": ["everything"], "epoch": 2, "rate": 0.5}]})
    assert stages.parsed_stages() == (Stage(("heads",)), Stage(("everything",), 2.0, 0.5))
    assert Experiment().parsed_stages() == (Stage(),)


def test_assignments_do_not_write_into_the_recipe():
    recipe = {"rates": {"heads": 1.0}}
    rates = recipe["rates"]
    apply_assignment(recipe, "rates.heads=2.0")
    assert (recipe["rates"]["heads"], rates["heads"]) == (2.0, 1.0)


def test_a_model_labelled_by_rules_is_evaluated_by_the_same_rules(capsys, tmp_path):
    assert run(capsys, "train", "--recipe", "mpnet-topics", "--out", "model", *FROM_SCRATCH)[0] == 0
    synthetic_reviews(120, seed=9).to_csv(tmp_path / "new.csv", index=False)
    code, out, _ = run(capsys, "evaluate", "model", "--data", "new.csv")
    assert code == 0
    assert "kept without a label for complaint" in out
    assert [line for line in out.splitlines() if line in ("topic", "sentiment", "complaint")] == [
        "topic",
        "sentiment",
        "complaint",
    ]
