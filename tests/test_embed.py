"""minitx embed, search and similar: streamed, resumed after an interruption, and refused when something is wrong."""

import json
import os
import re
import shutil
import subprocess
import sys
import tracemalloc
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from checkpoints import TEXTS, make_checkpoint
from test_writing import killed_at_each_call

from minitx.app import cli, embed
from minitx.app.cli import main
from minitx.app.embed import embed_file
from minitx.errors import InputError
from minitx.models import encoding
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


def bits(path="v.npy"):
    return Path(path).read_bytes()


def names(folder):
    return sorted(path.name for path in folder.iterdir() if path.suffix not in (".txt", ".csv"))


@pytest.fixture
def whole(encoder, here):
    """What a run gives that is never killed."""
    embed_file(encoder, "texts.txt", here / "whole.npy", progress=False)
    content = bits("whole.npy")
    (here / "whole.npy").unlink()
    return content


class Stop(BaseException):
    """What ends a run after some blocks."""


def interrupted(encoder, out, blocks=2, source="texts.txt", stop=Stop, **options):
    """Embed until `blocks` blocks are finished."""
    calls, encode_ids = [], SentenceEncoder.encode_ids

    def stopping(self, sequences, *arguments, **named):
        calls.append(len(sequences))
        if len(calls) == blocks + 2:  # the first are the samples
            raise stop
        return encode_ids(self, sequences, *arguments, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SentenceEncoder, "encode_ids", stopping)
        with pytest.raises(stop):
            embed_file(encoder, source, out, progress=False, **options)


def test_ctrl_c_says_which_command_goes_on(model, encoder, here, capsys, monkeypatch, whole):
    def stop(*_, **__):
        interrupted(encoder, here / "v.npy", stop=KeyboardInterrupt)
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "embed_file", stop)
    assert main(["embed", str(model), "texts.txt", "--out", "v.npy"]) == 130
    assert capsys.readouterr().err == "interrupted; the same command goes on from v.npy.partial\n"
    monkeypatch.undo()
    monkeypatch.chdir(here)
    monkeypatch.setattr(embed, "TEXTS_AT_ONCE", 7)
    assert main(["embed", str(model), "texts.txt", "--out", "v.npy"]) == 0
    assert "resumed after 14 vectors that were there already" in capsys.readouterr().out
    assert bits() == whole
    assert names(here) == ["v.npy"]


def test_ctrl_c_before_there_is_anything_to_go_on_from(model, here, capsys, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "embed_file", stop)
    assert main(["embed", str(model), "texts.txt", "--out", "v.npy"]) == 130
    assert capsys.readouterr().err == "interrupted; v.npy is as it was, or finished\n"


def test_it_goes_on_with_the_same_bytes_on_another_number_of_cores(encoder, here, monkeypatch, whole):
    interrupted(encoder, here / "v.npy")
    for cores in (1, 5):
        monkeypatch.setattr(encoding, "usable_cores", lambda cores=cores: cores)
        if cores == 1:
            interrupted(encoder, here / "v.npy", 1)
        else:
            assert embed_file(encoder, "texts.txt", here / "v.npy", progress=False) == (25, 21, 0, 0)
    assert bits() == whole


@pytest.mark.parametrize("seed", range(8))
def test_cut_anywhere_it_ends_with_the_bytes_of_a_run_never_killed(encoder, here, whole, seed):
    """Also in the middle of a write: of the vectors, of the note, or with the tail of one not on the disk."""
    rng = np.random.default_rng(seed)
    for _ in range(3):
        interrupted(encoder, here / "v.npy", int(rng.integers(4)))
        for path in (here / "v.npy.partial", here / "v.npy.partial.json"):
            content = path.read_bytes()
            first = content.index(b"\n") + 1 if path.suffix == ".json" else 0  # the disk has this before all others
            kept = content[: max(first, rng.integers(len(content) + 1))]
            path.write_bytes(kept + bytes(rng.integers(256, size=rng.integers(2) * 50, dtype=np.uint8)))
        embed_file(encoder, "texts.txt", here / "v.npy", progress=False)
        assert bits() == whole
        assert names(here) == ["v.npy"]
        (here / "v.npy").unlink()


@pytest.mark.parametrize("overwrite", [False, True])
def test_killed_at_any_call_it_ends_with_the_bytes_of_a_run_never_killed(encoder, here, whole, overwrite):
    """At each call that changes the disk, also in the final writing."""
    kills, out = 0, here / "v.npy"

    def write():
        embed_file(encoder, "texts.txt", out, progress=False, overwrite=overwrite)

    with pytest.MonkeyPatch.context() as patch:
        for _ in killed_at_each_call(patch, write, "link", "replace", "unlink", "fsync", "rmdir"):
            kills += 1
            if out.exists() and not overwrite:  # killed once it had its name, and so it is whole
                with pytest.raises(InputError, match=r"v\.npy exists already"):
                    write()
            else:
                write()
            assert bits() == whole
            assert names(here) == ["v.npy"]
            out.unlink()
    assert kills > 10


def test_ctrl_c_at_any_call_it_ends_with_the_bytes_of_a_run_never_interrupted(encoder, here, whole):
    """Unlike a kill, it lets go of the lock."""
    out, calls, at = here / "v.npy", 0, 0

    def interrupting(name, real):
        def call(*arguments, **named):
            nonlocal calls
            calls += 1
            if calls == at:
                raise KeyboardInterrupt
            return real(*arguments, **named)

        return call

    while not calls or calls >= at:
        calls, at = 0, at + 1
        with pytest.MonkeyPatch.context() as patch, suppress(KeyboardInterrupt):
            for name in ("link", "unlink", "fsync"):
                patch.setattr(os, name, interrupting(name, getattr(os, name)))
            embed_file(encoder, "texts.txt", out, progress=False)
        with suppress(InputError):  # it had its name, and so it is whole
            embed_file(encoder, "texts.txt", out, progress=False)
        assert bits() == whole
        assert names(here) == ["v.npy"]
        out.unlink()
    assert at > 10


def test_a_result_that_was_moved_away_after_a_kill_is_not_written_to(encoder, here, whole):
    embed_file(encoder, "texts.txt", here / "v.npy", progress=False)
    os.link("v.npy", "v.npy.partial")  # killed when it had just got its name
    (here / "v.npy").rename(here / "mine.npy")
    (here / "v.npy.partial.json").write_text("{}\n", encoding="utf-8")
    encoder.max_seq_length = 9
    embed_file(encoder, "texts.txt", here / "v.npy", overwrite=True, progress=False)
    assert bits("mine.npy") == whole
    assert bits() != whole
    assert names(here) == ["mine.npy", "v.npy"]


def test_a_finished_block_that_was_altered_is_made_anew(encoder, here, whole):
    interrupted(encoder, here / "v.npy", 3)
    partial = here / "v.npy.partial"
    content = bytearray(partial.read_bytes())
    content[128 + 7 * 21 * 4 + 5] ^= 1  # in the second block
    partial.write_bytes(content)
    assert embed_file(encoder, "texts.txt", here / "v.npy", progress=False) == (25, 7, 0, 0)
    assert bits() == whole


@pytest.mark.parametrize(
    ("other", "what"),
    [
        ("max_seq_length", "model"),
        ("weight", "model"),
        ("pooling", "model"),
        ("vocabulary", "model"),
        ("file", "file"),
        ("numpy", "NumPy, Python or processor"),
        ("processor", "NumPy, Python or processor"),
    ],
)
def test_a_partial_result_of_something_else_is_not_continued(encoder, model, here, other, what, monkeypatch, whole):
    interrupted(encoder, here / "v.npy")
    before = {name: bits(name) for name in names(here)}
    text = (here / "texts.txt").read_text("utf-8")
    times = os.stat("texts.txt")
    if other == "max_seq_length":
        encoder.max_seq_length = 100
    elif other == "weight":
        weight = encoder.embedding.weight.data
        weight[5, 5] = np.nextafter(weight[5, 5], np.float32(9))
    elif other == "pooling":
        encoder.config = replace(encoder.config, normalize=True)
    elif other == "vocabulary":
        spec = encoder.tokenizer.spec
        encoder.tokenizer = type(encoder.tokenizer)(replace(spec, max_word_length=spec.max_word_length - 1))
    elif other == "file":  # of equal size, time and number of rows
        (here / "texts.txt").write_text(text.replace("Great. 21", "great. 21"), encoding="utf-8")
        os.utime("texts.txt", ns=(times.st_atime_ns, times.st_mtime_ns))
        assert os.stat("texts.txt").st_size == times.st_size
    elif other == "numpy":
        monkeypatch.setattr(np, "__version__", "9.9")
    else:
        encode_ids = SentenceEncoder.encode_ids
        rounding = np.float32(1 + 2**-23)
        monkeypatch.setattr(SentenceEncoder, "encode_ids", lambda *a, **k: encode_ids(*a, **k) * rounding)
    with pytest.raises(InputError, match=rf"v.npy.partial was started with another {what}: delete it, or pass --over"):
        embed_file(encoder, "texts.txt", here / "v.npy", progress=False)
    assert {name: bits(name) for name in names(here)} == before
    assert embed_file(encoder, "texts.txt", here / "v.npy", overwrite=True, progress=False) == (25, 0, 0, 0)
    assert names(here) == ["v.npy"]


@pytest.mark.parametrize(
    "note", [None, b"", b"{" * 3000, b"\xff\x00", b'["texts.txt", null, 25, 17, 21, [0.1]]', b"9" * 9999]
)
def test_a_partial_result_with_no_note_of_ours_is_not_continued(encoder, here, whole, note):
    """None, one of an older minitx, or a damaged one."""
    interrupted(encoder, here / "v.npy")
    path, partial = here / "v.npy.partial.json", bits("v.npy.partial")
    path.unlink()
    if note is not None:
        path.write_bytes(note)
    with pytest.raises(InputError, match=r"v.npy.partial was started with another minitx: delete it, or pass --over"):
        embed_file(encoder, "texts.txt", here / "v.npy", progress=False)
    assert bits("v.npy.partial") == partial
    assert bits(path) == (note or b"")
    assert embed_file(encoder, "texts.txt", here / "v.npy", overwrite=True, progress=False) == (25, 0, 0, 0)
    assert bits() == whole
    assert names(here) == ["v.npy"]


@pytest.mark.parametrize(
    "line", [b"", b"x 0\n", b"%s\n", b"%s -1\n", b"%s 1", b"%s \xb2\n", b"%s 00\n", b"\n", b"0" * 9999]
)
def test_a_line_of_the_note_that_is_damaged_costs_its_block(encoder, here, whole, line):
    interrupted(encoder, here / "v.npy")
    path = here / "v.npy.partial.json"
    head, first, second = path.read_bytes().splitlines()
    path.write_bytes(b"\n".join([head, first, line.replace(b"%s", second[:64])]))
    assert embed_file(encoder, "texts.txt", here / "v.npy", progress=False) == (25, 7, 0, 0)
    assert bits() == whole


NO_FILES = [
    (name, kind)
    for name in ("v.npy", "v.npy.partial", "v.npy.partial.json", "v.npy.partial.lock")
    for kind in ("directory", "symlink", "dangling", "loop", "FIFO")
    if not (name == "v.npy" and kind in ("symlink", "dangling"))  # that is followed
]


@pytest.mark.parametrize(("name", "kind"), NO_FILES)
def test_what_is_no_file_is_refused_and_left_alone(encoder, here, name, kind):
    path = here / name
    if kind == "directory":
        path.mkdir()
    elif kind == "FIFO":
        os.mkfifo(path)
    else:
        path.symlink_to({"symlink": "texts.csv", "dangling": "nowhere", "loop": name}[kind])
    before = bits("texts.csv")
    for overwrite in (False, True):
        with pytest.raises(InputError, match=rf"{name} is not a regular file, so minitx has not written it: move it a"):
            embed_file(encoder, "texts.txt", here / "v.npy", overwrite=overwrite, progress=False)
    assert names(here) == [name]
    assert bits("texts.csv") == before


@pytest.mark.parametrize("change", ["truncated", "longer", "altered"])
@pytest.mark.parametrize("source", ["many.txt", "many.csv"])
def test_a_file_that_changes_while_it_is_read_is_noticed(encoder, here, monkeypatch, change, source):
    """What is finished by then is right, and with the file as it was the same command goes on."""
    monkeypatch.setattr(embed, "TEXTS_AT_ONCE", 100)
    text = "content\n" * source.endswith(".csv") + "".join(f"{i} is a number of some length\n" for i in range(2000))
    (here / source).write_text(text, encoding="utf-8")
    embed_file(encoder, source, here / "whole.npy", progress=False)
    changed = {"truncated": text[: len(text) // 2], "longer": text + "1\n", "altered": text[:-9] + "x" + text[-8:]}
    tokenize, calls = SentenceEncoder.tokenize_and_cut, []

    def meanwhile(self, texts):
        calls.append(texts)
        if len(calls) == 4:
            (here / source).write_text(changed[change], encoding="utf-8")
        return tokenize(self, texts)

    with monkeypatch.context() as patch:
        patch.setattr(SentenceEncoder, "tokenize_and_cut", meanwhile)
        with pytest.raises(InputError, match=f"{source} changed while it was read: with what it was the same command"):
            embed_file(encoder, source, here / "v.npy", progress=False)
    assert names(here) == ["v.npy.partial", "v.npy.partial.json", "whole.npy"]
    (here / source).write_text(text, encoding="utf-8")
    rows, before, _, _ = embed_file(encoder, source, here / "v.npy", progress=False)
    assert rows == 2000
    assert before >= 300
    assert bits() == bits("whole.npy")


@pytest.mark.parametrize("kind", ["file", "directory", "dangling"])
def test_what_appears_at_the_name_meanwhile_is_not_replaced(encoder, here, monkeypatch, whole, kind):
    out, tokenize = here / "v.npy", SentenceEncoder.tokenize_and_cut

    def meanwhile(self, texts):
        if kind == "directory":
            out.mkdir(exist_ok=True)
        elif kind == "dangling":
            out.is_symlink() or out.symlink_to("nowhere")
        else:
            out.write_text("theirs", encoding="utf-8")
        return tokenize(self, texts)

    with monkeypatch.context() as patch:
        patch.setattr(SentenceEncoder, "tokenize_and_cut", meanwhile)
        with pytest.raises(InputError, match=r"v\.npy has appeared meanwhile"):
            embed_file(encoder, "texts.txt", out, progress=False)
    assert os.path.lexists(out)
    assert kind != "file" or out.read_text("utf-8") == "theirs"
    out.rename(here / "theirs")
    assert embed_file(encoder, "texts.txt", out, progress=False) == (25, 25, 0, 0)
    assert bits() == whole


def test_a_result_of_somebody_else_beside_an_unfinished_one_is_not_touched(encoder, here, whole):
    """Nor is the unfinished one, although a killed run has left its lock."""
    interrupted(encoder, here / "v.npy")
    (here / "v.npy").write_text("theirs", encoding="utf-8")
    (here / "v.npy.partial.lock").touch()
    with pytest.raises(InputError, match=r"v\.npy exists already"):
        embed_file(encoder, "texts.txt", here / "v.npy", progress=False)
    assert (here / "v.npy").read_text("utf-8") == "theirs"
    assert embed_file(encoder, "texts.txt", here / "v.npy", overwrite=True, progress=False) == (25, 14, 0, 0)
    assert bits() == whole
    assert names(here) == ["v.npy"]


def test_a_second_embed_to_the_same_name_is_refused(encoder, here, monkeypatch, whole):
    tokenize, refused = SentenceEncoder.tokenize_and_cut, []

    def meanwhile(self, texts):
        with pytest.raises(InputError) as error:
            embed_file(encoder, "texts.csv", here / "v.npy", overwrite=True, progress=False)
        refused.append(str(error.value))
        return tokenize(self, texts)

    monkeypatch.setattr(SentenceEncoder, "tokenize_and_cut", meanwhile)
    embed_file(encoder, "texts.txt", here / "v.npy", progress=False)
    assert set(refused) == {f"{here / 'v.npy'} is in use: another minitx is at work there"}
    assert bits() == whole


def test_through_a_symlink_which_stays(encoder, here, whole):
    (here / "far").mkdir()
    (here / "v.npy").symlink_to("far/w.npy")
    embed_file(encoder, "texts.txt", here / "v.npy", progress=False)
    embed_file(encoder, "texts.txt", here / "v.npy", overwrite=True, progress=False)
    assert (here / "v.npy").is_symlink()
    assert names(here / "far") == ["w.npy"]
    assert bits("far/w.npy") == whole


@pytest.mark.parametrize(("room", "there"), [(30, 0), (500, 0), (1500, 14)])
def test_a_full_disk_is_one_line_and_the_same_command_goes_on(model, encoder, here, whole, room, there):
    """In a process that may not write longer files: the note's first line, the first block, the third."""
    code = (
        "import resource, sys; from minitx.app import cli, embed; embed.TEXTS_AT_ONCE = 7\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({room}, -1)); sys.exit(cli.main())"
    )
    command = [sys.executable, "-c", code, "embed", str(model), "texts.txt", "--out", "v.npy"]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert result.returncode == 2
    said = r"error: \S*v.npy.partial cannot be written: File too large; what is finished is kept, and the same command "
    assert re.fullmatch(said + "goes on\n", result.stderr)
    assert embed_file(encoder, "texts.txt", here / "v.npy", progress=False) == (25, there, 0, 0)
    assert bits() == whole
    assert names(here) == ["v.npy"]


def test_texts_that_are_cut_are_counted_once(encoder, here, model, capsys):
    (here / "long.txt").write_text(("no " * 300 + "\nyes\n") * 10, encoding="utf-8")
    assert main(["embed", str(model), "long.txt", "--out", "v.npy"]) == 0
    assert capsys.readouterr().err == "warning: 10 texts longer than 160 tokens were cut\n"
    interrupted(encoder, here / "w.npy", source="long.txt")
    assert embed_file(encoder, "long.txt", here / "w.npy", progress=False) == (20, 14, 10, 0)


def test_vectors_are_of_a_model_wherever_that_lies(model, here, capsys):
    """Found from outside: what was made as `m` was refused as its absolute path, and what Dask made too."""
    shutil.copytree(model, here / "copy")
    assert main(["embed", "copy", "texts.txt", "--out", "v.npy"]) == 0
    for name in ("copy", str(here / "copy"), str(model)):
        assert main(["search", name, "texts.txt", "great", "--vectors", "v.npy"]) == 0
        assert main(["embed", name, "texts.txt", "--out", "w.npy", "--overwrite"]) == 0
        assert bits("w.npy") == bits("v.npy")


def test_blank_texts_are_counted(here, model, capsys):
    (here / "gaps.txt").write_text("one\n\n  \ntwo\n", encoding="utf-8")
    assert main(["embed", str(model), "gaps.txt", "--out", "v.npy"]) == 0
    assert capsys.readouterr().err == "note: 2 of 4 texts are blank, and their vectors mean nothing\n"


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
        (["texts.csv", "--text", "x", "--out", "v.npy"], "texts.csv: no column x; the header has id, content"),
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


def test_blank_texts_are_near_to_nothing(model, here, capsys):
    for command in (["search", str(model), "texts.txt", " "], ["similar", str(model), "a", ""]):
        assert main(command) == 2
        assert "is blank: there is nothing that it could be similar to" in capsys.readouterr().err
    (here / "gaps.txt").write_text("one\n\n \ntwo\n", encoding="utf-8")
    assert main(["embed", str(model), "gaps.txt", "--out", "g.npy"]) == 0
    for vectors in ([], ["--vectors", "g.npy"]):
        capsys.readouterr()
        assert main(["search", str(model), "gaps.txt", "two", *vectors]) == 0
        out, err = capsys.readouterr()
        assert {tuple(line.split()[1:]) for line in out.splitlines()} == {("0", "one"), ("3", "two")}
        assert "note: 2 of 4 texts are blank and left out" in err
    (here / "blank.txt").write_text("\n\n", encoding="utf-8")
    assert main(["search", str(model), "blank.txt", "two"]) == 0
    assert capsys.readouterr().out == ""


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
    assert main([*arguments[:4], "--vectors", "z.npy"]) == 2
    assert (
        "z.npy was made by minitx, and is damaged at its end: `minitx embed` makes it anew" in capsys.readouterr().err
    )
    (here / "z.npy").write_bytes((here / "v.npy").read_bytes()[:1000])
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
    assert "arguments are required: OTHER; expected MODEL TEXT OTHER (see " in capsys.readouterr().err


def searched(model, capsys, *arguments):
    """The line that refuses, or ""."""
    code = main(["search", str(model), *arguments, "--format", "json"])
    return capsys.readouterr().err if code else ""


@pytest.mark.parametrize("recorded", [True, False])
def test_vectors_of_other_texts_are_refused_whatever_their_number(model, encoder, here, capsys, recorded):
    assert main(["embed", str(model), "texts.txt", "--out", "v.npy"]) == 0
    if not recorded:  # by an older minitx, or by hand
        np.save("v.npy", np.load("v.npy"))
    assert searched(model, capsys, "texts.csv", "Great!", "--vectors", "v.npy") == ""
    (here / "sorted.txt").write_text("\n".join(sorted(LINES)) + "\n", encoding="utf-8")
    assert "of other texts, or" in searched(model, capsys, "sorted.txt", "Great!", "--vectors", "v.npy")
    (here / "edited.txt").write_text("\n".join([*LINES[:-1], "of another kind, entirely"]) + "\n", encoding="utf-8")
    assert "of other texts, or" in searched(model, capsys, "edited.txt", "Great!", "--vectors", "v.npy")
    np.save("zeros.npy", np.zeros((len(LINES), 21), np.float32))
    assert "another model" in searched(model, capsys, "texts.txt", "Great!", "--vectors", "zeros.npy")


def test_vectors_of_another_model_or_setting_are_refused(model, encoder, here, capsys):
    assert main(["embed", str(model), "texts.txt", "--out", "v.npy"]) == 0
    encoder.max_seq_length -= 1
    encoder.save_pretrained("other")
    said = searched("other", capsys, "texts.txt", "Great!", "--vectors", "v.npy")
    assert said == ("error: v.npy was made by another model, or with other settings: `minitx embed` makes it anew\n")
