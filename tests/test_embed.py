"""minitx embed, search and similar: streamed, resumed after an interruption, and refused when something is wrong."""

import json
import tracemalloc

import numpy as np
import pandas as pd
import pytest
from checkpoints import TEXTS, make_checkpoint

from minitx.app import embed
from minitx.app.cli import main
from minitx.app.embed import embed_file
from minitx.errors import InputError
from minitx.models.encoder import SentenceEncoder

LINES = [f"{text} {i}" for i, text in enumerate(TEXTS * 5)]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "bert"
    make_checkpoint("bert", path)
    return path


@pytest.fixture
def encoder(model):
    return SentenceEncoder.from_pretrained(model)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(embed, "TEXTS_AT_ONCE", 7)
    (tmp_path / "texts.txt").write_text("\n".join(LINES) + "\n", encoding="utf-8")
    pd.DataFrame({"id": range(len(LINES)), "content": LINES}).to_csv("texts.csv", index=False)
    return tmp_path


@pytest.mark.parametrize("source", ["texts.txt", "texts.csv"])
def test_a_file_of_vectors(model, encoder, here, source, capsys):
    assert main(["embed", str(model), source, "--out", "v.npy"]) == 0
    assert "25 vectors of 21 numbers written to v.npy" in capsys.readouterr().out
    vectors = np.load("v.npy")
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, encoder.encode(LINES), atol=1e-6)
    assert sorted(path.name for path in here.iterdir()) == ["texts.csv", "texts.txt", "v.npy"]


@pytest.mark.parametrize(("torn", "there"), [(0, 14), (5, 13), (14 * 21 * 4 + 30, 0)])
def test_what_was_interrupted_goes_on_where_it_stopped(model, encoder, here, torn, there, capsys, monkeypatch):
    calls, encode_ids = [], SentenceEncoder.encode_ids

    def stopping(self, sequences, *options, **named):
        calls.append(len(sequences))
        if len(calls) == 4:  # the first is the sample that tells models apart
            raise KeyboardInterrupt
        return encode_ids(self, sequences, *options, **named)

    monkeypatch.setattr(SentenceEncoder, "encode_ids", stopping)
    with pytest.raises(SystemExit) as stop:
        main(["embed", str(model), "texts.txt", "--out", "v.npy"])
    assert stop.value.code == 130
    assert "the same command goes on from v.npy.partial" in capsys.readouterr().err
    partial = here / "v.npy.partial"
    if torn:  # as a power cut may leave it
        partial.write_bytes(partial.read_bytes()[:-torn])
    monkeypatch.setattr(SentenceEncoder, "encode_ids", encode_ids)
    assert main(["embed", str(model), "texts.txt", "--out", "v.npy"]) == 0
    assert (f"resumed after {there} vectors that were there already" in capsys.readouterr().out) == (there > 0)
    np.testing.assert_allclose(np.load("v.npy"), encoder.encode(LINES), atol=1e-6)


def test_a_file_that_changes_while_it_is_read_is_noticed(encoder, here, monkeypatch):
    """The header says how many rows there are before the first is written."""
    encode = SentenceEncoder.encode

    def growing(self, texts, *options, **named):
        with (here / "texts.txt").open("a", encoding="utf-8") as file:
            file.write("one more\n")
        return encode(self, texts, *options, **named)

    monkeypatch.setattr(SentenceEncoder, "encode", growing)
    with pytest.raises(InputError, match=r"texts.txt changed while it was read: there were 25 texts, and then \d\d"):
        embed_file(encoder, "texts.txt", here / "v.npy", progress=False)
    assert not (here / "v.npy").exists()


def test_a_partial_result_of_something_else_is_not_continued(encoder, here, capsys):
    partial = here / "v.npy.partial"
    partial.write_bytes(b"x" * 1000)
    with pytest.raises(InputError, match=r"v.npy.partial was started with another model or file: delete it, or pass"):
        embed_file(encoder, "texts.txt", here / "v.npy", progress=False)
    assert partial.read_bytes() == b"x" * 1000
    assert embed_file(encoder, "texts.txt", here / "v.npy", overwrite=True, progress=False) == (25, 0, 0)


def test_texts_that_are_cut_are_counted_once(encoder, here, model, capsys):
    (here / "long.txt").write_text(("no " * 300 + "\nyes\n") * 10, encoding="utf-8")
    assert main(["embed", str(model), "long.txt", "--out", "v.npy"]) == 0
    assert capsys.readouterr().err == "warning: 10 texts longer than 160 tokens were cut\n"


def test_memory_does_not_grow_with_the_file(encoder, here, monkeypatch):
    monkeypatch.setattr(embed, "TEXTS_AT_ONCE", 100)
    peaks = []
    for count in (500, 2000):
        (here / "many.txt").write_text("".join(f"line {i % 50}\n" for i in range(count)), encoding="utf-8")
        tracemalloc.start()
        embed_file(encoder, "many.txt", here / f"{count}.npy", progress=False)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["texts.txt", "--out", "v.csv"], "v.csv: the output is a .npy file, so its name must end in .npy"),
        (["texts.txt", "--out", "none/v.npy"], "none is not a directory"),
        (["none.txt", "--out", "v.npy"], "none.txt: No such file"),
        (["texts.csv", "--text", "x", "--out", "v.npy"], "texts.csv: no column x; found id, content"),
        (["bad.csv", "--out", "v.npy"], "bad.csv: row 2 has too many fields"),
    ],
)
def test_what_embed_refuses(model, here, capsys, arguments, message):
    (here / "bad.csv").write_text("content\nfine\nnot,fine\n", encoding="utf-8")
    assert main(["embed", str(model), *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not list(here.glob("v.*"))


def test_a_model_that_is_not_there(capsys):
    assert main(["embed", "./none", "texts.txt", "--out", "v.npy"]) == 2
    assert "error: ./none is not a directory: expected one with config.json" in capsys.readouterr().err


def test_search(model, encoder, here, capsys):
    assert main(["search", str(model), "texts.txt", "Great!", "--top-k", "3"]) == 0
    first, *others = capsys.readouterr().out.splitlines()
    scores = encoder.similarity(encoder.encode("Great!"), encoder.encode(LINES))[0]
    score, row, text = first.split(maxsplit=2)
    assert (float(score), text) == (pytest.approx(scores.max(), abs=1e-3), LINES[int(row)])
    assert scores[int(row)] == pytest.approx(scores.max(), abs=1e-5)  # of equals, rounding decides
    assert len(others) == 2
    assert main(["embed", str(model), "texts.txt", "--out", "v.npy"]) == 0
    capsys.readouterr()
    arguments = ["search", str(model), "texts.csv", "Great!", "--vectors", "v.npy", "--format", "json"]
    assert main(arguments) == 0
    hit = json.loads(capsys.readouterr().out.splitlines()[0])
    assert (hit["score"], hit["text"]) == (pytest.approx(scores.max(), abs=1e-5), LINES[hit["corpus_id"]])
    np.save("w.npy", np.zeros((3, 21), np.float32))
    (here / "x.npy").write_text("no")
    np.savez("y.npy.npz", np.zeros(3))
    (here / "z.npy").write_bytes((here / "v.npy").read_bytes()[:-1])
    assert main([*arguments[:4], "--vectors", "w.npy"]) == 2
    assert "w.npy holds (3, 21); the corpus and the model make (25, 21)" in capsys.readouterr().err
    for file in ("x.npy", "y.npy.npz", "z.npy"):
        assert main([*arguments[:4], "--vectors", file]) == 2
        wrong = f"error: {file} is not a .npy file that `minitx embed` wrote, or not the whole of one\n"
        assert capsys.readouterr().err == wrong


def test_similar(model, encoder, capsys):
    assert main(["similar", str(model), "ok", "Great.", "ok"]) == 0
    out = capsys.readouterr().out.splitlines()
    score = encoder.similarity(*encoder.encode(["ok", "Great."]))[0, 0]
    assert out == [f"{score:.3f}  Great.", "1.000  ok"]
    with pytest.raises(SystemExit) as stop:
        main(["similar", str(model), "alone"])
    assert stop.value.code == 2
    assert capsys.readouterr().err.startswith("error: the following arguments are required: OTHER (see ")
