"""Many files on Dask's workers: what `--engine dask` of embed and predict writes, and a search over it."""

import dataclasses
import gzip
import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import zlib
from contextlib import suppress
from pathlib import Path

import dask
import numpy as np
import pandas as pd
import pytest
from checkpoints import TEXTS, make_checkpoint
from distributed import Client

from minitx.app import parts
from minitx.app.cli import main
from minitx.app.parts import do_part, find_parts, new_job
from minitx.errors import InputError
from minitx.models.encoder import SentenceEncoder
from minitx.system import __version__, usable_cores

LINES = [f"{text} {i}" if text.strip() else "" for i, text in enumerate(TEXTS * 5)]
THIRDS = [LINES[:9], LINES[9:16], LINES[16:]]


@pytest.fixture(scope="module")
def cluster():
    """Two workers that all tests share: starting them is most of what a small job takes."""
    with dask.config.set({"distributed.comm.timeouts.connect": "180s"}), parts.local_cluster(2) as two:
        yield two.scheduler_address


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Three parts of three kinds: a.csv, b.jsonl.gz and c.parquet."""
    monkeypatch.chdir(tmp_path)
    Path("data").mkdir()
    first, second, third = (pd.DataFrame({"content": texts}) for texts in THIRDS)
    first.to_csv("data/a.csv", index=False)
    lines = "".join(json.dumps({"content": text}) + "\n" for text in second["content"])
    Path("data/b.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    third.to_parquet("data/c.parquet")
    return tmp_path


@pytest.fixture
def on_cluster(cluster):
    return ["--engine", "dask", "--scheduler", cluster]


def states(folder):
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in Path(folder).glob("*.npy")}


def refused(capsys, *command):
    assert main([*map(str, command)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    return err


# -- embed -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pattern", ["data", "data/*", "d*/*.*"])
def test_each_part_gives_the_vectors_that_it_gives_alone(model, on_cluster, pattern, capsys):
    assert main(["embed", model, pattern, "--out", "vectors", *on_cluster]) == 0
    assert capsys.readouterr().out == "25 vectors written to vectors, of 3 files\n"
    for file in ("a.csv", "b.jsonl.gz", "c.parquet"):
        assert main(["embed", model, f"data/{file}", "--out", "alone.npy", "--overwrite"]) == 0
        assert Path("vectors", f"{file[0]}.npy").read_bytes() == Path("alone.npy").read_bytes()
    assert sorted(path.name for path in Path("vectors").iterdir()) == ["a.npy", "b.npy", "c.npy", "parts.log"]


def test_the_same_command_does_what_is_not_finished_and_nothing_else(model, on_cluster, capsys):
    command = ["embed", model, "data", "--out", "vectors", *on_cluster]
    assert main(command) == 0
    before = states("vectors")
    assert main(command) == 0
    assert "3 of 3 files were finished already\n" in capsys.readouterr().out
    assert states("vectors") == before
    Path("vectors/b.npy").unlink()
    pd.DataFrame({"content": THIRDS[0][::-1]}).to_csv("data/a.csv", index=False)
    assert main(command) == 0
    assert "1 of 3 files were finished already\n" in capsys.readouterr().out
    after = states("vectors")
    assert after["b.npy"][0] == before["b.npy"][0]
    assert after["a.npy"][0] != before["a.npy"][0]
    assert after["c.npy"] == before["c.npy"]


def test_a_result_that_was_changed_is_made_again(model, on_cluster, capsys):
    command = ["embed", model, "data", "--out", "vectors", *on_cluster]
    assert main(command) == 0
    before = Path("vectors/b.npy").read_bytes()
    Path("vectors/b.npy").write_bytes(before[:-1000] + bytes(1000))
    assert main(command) == 0
    assert "2 of 3 files were finished already\n" in capsys.readouterr().out
    assert Path("vectors/b.npy").read_bytes() == before


def test_what_is_put_beside_a_model_does_not_make_it_another(model, on_cluster, tmp_path, capsys):
    shutil.copytree(model, tmp_path / "own")
    command = ["embed", "own", "data", "--out", "own/vectors", *on_cluster]
    assert main(command) == 0
    Path("own/curve.png").write_bytes(b"a picture")
    Path("own/vectors/x.npy.partial.json").write_text("{}", "utf-8")  # as another worker's, at work
    assert main(command) == 0
    assert "3 of 3 files were finished already\n" in capsys.readouterr().out


def test_a_part_without_rows_has_a_result_without_rows(model, trained, on_cluster, capsys):
    pd.DataFrame({"content": pd.Series([], dtype=str)}).to_parquet("data/0.parquet")
    Path("data/1.jsonl").touch()
    assert main(["embed", model, "data", "--out", "vectors", *on_cluster]) == 0
    assert np.load("vectors/0.npy").shape == (0, np.load("vectors/a.npy").shape[1])
    assert "25 vectors written to vectors, of 5 files\n" in capsys.readouterr().out
    np.save("vectors/1.npy", np.load("vectors/1.npy"))  # as from elsewhere, without checksums
    assert main(["search", model, "data", "Great film!", "--vectors", "vectors", "--top-k", "30"]) == 0
    assert capsys.readouterr().out.count("\n") == 25 - LINES.count("")
    assert main(["predict", str(trained), "--data", "data", "--out", "answers", *on_cluster]) == 0
    assert Path("answers/0.csv").read_text("utf-8").count("\n") == 1


def test_what_is_noted_is_no_longer_kept_by_a_worker_whose_death_would_repeat_it(model, on_cluster, monkeypatch):
    kept, to_disk = [], parts.to_disk
    with Client(on_cluster[-1], set_as_default=False) as client:

        def look(path):
            to_disk(path)
            end = time.monotonic() + 30  # the scheduler hears of it a moment later
            while (held := [key for key in client.who_has() if noted() & {key.split("-")[0].strip("'")}]) and (
                time.monotonic() < end
            ):
                time.sleep(0.05)
            kept.append(held)

        def noted():
            return {json.loads(line).get("part") for line in Path("out/parts.log").read_text().splitlines()[1:]}

        monkeypatch.setattr(parts, "to_disk", look)
        assert main(["embed", str(model), "data", "--out", "out", *on_cluster]) == 0
    assert kept == [[], [], []]


def test_a_note_that_a_kill_has_torn_costs_one_part(model, on_cluster, capsys):
    command, note = ["embed", model, "data", "--out", "vectors", *on_cluster], Path("vectors/parts.log")
    assert main(command) == 0
    whole = note.read_text("utf-8")
    note.write_text(whole[:-9], "utf-8")
    assert main(command) == 0
    assert "2 of 3 files were finished already\n" in capsys.readouterr().out
    assert note.read_text("utf-8") == whole


def test_a_directory_of_another_job_is_not_touched(model, on_cluster, tmp_path, capsys):
    make_checkpoint("roberta", tmp_path / "other")
    assert main(["embed", model, "data", "--out", "vectors", *on_cluster]) == 0
    before, command = states("vectors"), ["embed", tmp_path / "other", "data", "--out", "vectors", *on_cluster]
    capsys.readouterr()
    assert "vectors was begun with another model" in refused(capsys, *command)
    assert states("vectors") == before
    assert main([*map(str, command), "--overwrite"]) == 0
    assert np.load("vectors/a.npy").shape[0] == 9
    assert states("vectors") != before
    Path("mine").mkdir()
    Path("mine/letter").write_text("dear", "utf-8")
    command = ["embed", model, "data", "--out", "mine", *on_cluster]
    capsys.readouterr()
    assert "mine has no parts.log but letter: choose an empty directory" in refused(capsys, *command, "--overwrite")
    assert [path.name for path in Path("mine").iterdir()] == ["letter"]


WRONG_LINES = ["{}", '{"part": []}', "3}", '{"part": "a", "rows": "1"}', "\x00}", '{"part": "a"}', "[" * 99_999]


@pytest.mark.parametrize("line", WRONG_LINES, ids=lambda line: ascii(line[:8]))
def test_a_note_that_nobody_wrote_is_refused_and_stays(model, on_cluster, line, capsys):
    command, note = ["embed", model, "data", "--out", "vectors", *on_cluster], Path("vectors/parts.log")
    assert main(command) == 0
    capsys.readouterr()
    found = note.read_text("utf-8") + line + "\n"
    note.write_text(found, "utf-8")
    assert "parts.log is not what minitx has written: move it away" in refused(capsys, *command)
    assert note.read_text("utf-8") == found


@pytest.mark.parametrize(
    ("text", "told"), [("my own notes", "is not what minitx"), ('{"command": "fly"}\n', "is not what")]
)
def test_notes_of_somebody_else_are_not_written_over(model, on_cluster, text, told, capsys):
    Path("mine").mkdir()
    Path("mine/parts.log").write_text(text, "utf-8")
    told = refused(capsys, "embed", model, "data", "--out", "mine", *on_cluster, "--overwrite")
    assert "parts.log is not what minitx has written: move it away" in told
    assert Path("mine/parts.log").read_text("utf-8") == text


def test_a_note_of_another_minitx_is_refused(model, on_cluster, capsys):
    command, note = ["embed", model, "data", "--out", "vectors", *on_cluster], Path("vectors/parts.log")
    assert main(command) == 0
    capsys.readouterr()
    note.write_text(note.read_text("utf-8").replace("{", '{"more": 1, ', 1), "utf-8")
    assert "vectors was begun with another minitx" in refused(capsys, *command)


def test_what_a_kill_has_left_is_no_harm(trained, on_cluster, capsys):
    Path("answers").mkdir()
    note, part = (
        Path("answers", f".{stem}-{zlib.crc32(f'{stem}{end}'.encode()):08x}-0123abcd{end}")
        for stem, end in (("parts", ".log"), ("a", ".csv"))
    )
    note.touch()
    part.touch()
    assert main(["predict", str(trained), "--data", "data", "--out", "answers", *on_cluster]) == 2
    assert f"answers has no parts.log but {part.name}" in capsys.readouterr().err
    part.unlink()
    assert main(["predict", str(trained), "--data", "data", "--out", "answers", *on_cluster]) == 0
    part.touch()
    Path("answers/a.csv").unlink()
    assert main(["predict", str(trained), "--data", "data", "--out", "answers", *on_cluster]) == 0
    assert sorted(path.name for path in Path("answers").iterdir()) == ["a.csv", "b.csv", "c.csv", "parts.log"]


def test_a_mistake_before_anything_is_finished_binds_nobody(model, on_cluster, capsys):
    command = ["embed", model, "data", "--out", "vectors", *on_cluster]
    assert "3 of 3 files have no result" in refused(capsys, *command, "--text", "nope")
    assert main(command) == 0


def test_overwrite_begins_anew_once_something_is_finished(model, on_cluster, capsys):
    command = ["embed", model, "data", "--out", "vectors", *on_cluster]
    assert main(command) == main([*command, "--overwrite"]) == 0
    assert "finished already" not in capsys.readouterr().out
    note = Path("vectors/parts.log").read_bytes()
    assert "3 of 3 files have no result" in refused(capsys, *command, "--overwrite", "--text", "nope")
    assert Path("vectors/parts.log").read_bytes() == note
    assert main(command) == 0
    assert "3 of 3 files were finished already" in capsys.readouterr().out


def test_a_scheduler_without_workers_is_told(model, capsys, monkeypatch):
    monkeypatch.setattr(parts, "TIMEOUT", 0.5)
    with parts.local_cluster(0) as nobody:
        command = ["embed", model, "data", "--out", "v", "--engine", "dask", "--scheduler", nobody.scheduler_address]
        assert "no Dask scheduler with workers answers at tcp://" in refused(capsys, *command)


def test_a_scheduler_that_is_gone_is_told(cluster):
    def ask():
        with parts._cluster(cluster, 1) as (_, client):
            future = client.submit(sum, [1, 2])
            future.cancel()
            future.result()

    with pytest.raises(InputError, match="the Dask scheduler is gone"):
        ask()


def test_dask_has_to_have_the_same_minitx(model, on_cluster, monkeypatch, capsys):
    command = ["embed", model, "data", "--out", "vectors", *on_cluster]
    monkeypatch.setattr(parts, "__version__", "99")
    assert f": Dask's processes need minitx 99; one has {__version__}: install it there" in refused(capsys, *command)
    monkeypatch.setattr(parts, "VERSION", "nothing_of_this_name.__version__")
    assert ": Dask's processes need minitx 99; one has None: install it there" in refused(capsys, *command)


def test_logging_is_as_it_was(model, on_cluster):
    before = logging.root.manager.disable
    assert main(["embed", model, "data", "--out", "vectors", *on_cluster]) == 0
    assert logging.root.manager.disable == before


def test_what_is_wrong_with_a_part_is_named_and_the_others_are_kept(model, on_cluster, capsys):
    Path("data/d.csv").write_text("title\nno texts\n", "utf-8")
    command = ["embed", model, "data", "--out", "vectors", *on_cluster]
    Path("data/e.jsonl").write_text("{", "utf-8")
    told = refused(capsys, *command)
    assert "d.csv: no column content or text; the header has title" in told
    assert "e.jsonl" in told
    assert "; 2 of 5 files have no result" in told
    Path("data/e.jsonl").unlink()
    pd.DataFrame({"content": ["mended"]}).to_csv("data/d.csv", index=False)
    assert main(command) == 0
    out = capsys.readouterr().out
    assert out == "3 of 4 files were finished already\n26 vectors written to vectors, of 4 files\n"


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("embed M data --out v --scheduler tcp://127.0.0.1:1", "--scheduler goes with --engine dask"),
        (
            "embed M data --out v --engine dask --scheduler tcp://127.0.0.1:1",
            "no Dask scheduler with workers answers at tcp://127",
        ),
        (
            "embed M data --out v --engine dask --scheduler nowhere://x",
            "no Dask scheduler with workers answers at nowhere://x",
        ),
        ("embed M none/* --out v --engine dask", "no files are found at none/*; expected some of the kinds .csv"),
        ("embed M data --out no/v --engine dask", "no/v cannot be used: No such file or directory"),
        ("embed M data --out data/a.csv --engine dask", "--out data/a.csv is a file: expected the name of a directory"),
        ("embed nothing data --out v --engine dask", "nothing is not a directory"),
        (
            "predict M --data data --engine dask",
            "--engine dask takes no TEXT but --data 'PATTERN' --out DIRECTORY",
        ),
        ("predict M love --engine dask --out v", "--engine dask takes no TEXT but --data 'PATTERN' --out"),
        ("search M data Great --vectors data", "data/a.npy"),
        ("search M data Great --vectors none", "none: no such file or directory"),
        ("search M data/* Great --vectors none", "none: no such file or directory"),
    ],
)
def test_a_command_that_cannot_be_is_refused(model, command, told, capsys, monkeypatch):
    monkeypatch.setattr(parts, "TIMEOUT", 0.2)
    assert told in refused(capsys, *command.replace("M", model).split())


def test_two_parts_of_a_name_are_refused():
    Path("data/a.txt").write_text("x\n", "utf-8")
    with pytest.raises(InputError, match=r"data/a\.txt and .*data/a\.csv would have results of the same name"):
        find_parts("data")


def test_without_dask_it_is_told_how_to_get_it(model, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    command = ["embed", model, "data", "--out", "v", "--engine", "dask"]
    assert "`pip install distributed` lets minitx use --engine dask" in refused(capsys, *command)


def test_workers_have_one_thread_and_keep_the_memory_that_they_will_need_again(cluster):
    with Client(cluster) as client:
        environment, _ = client.run(lambda: dict(os.environ)).values()
        assert {*client.run(usable_cores).values()} == {1}
        assert {*client.run(dask.config.get, "distributed.worker.profile.enabled").values()} == {False}
    assert environment["OMP_NUM_THREADS"] == "1"
    assert "MALLOC_TRIM_THRESHOLD_" not in environment


def test_a_worker_loads_the_model_once(model, here, monkeypatch):
    loads, load = [], parts.SentenceEncoder.from_pretrained
    monkeypatch.setattr(parts.SentenceEncoder, "from_pretrained", lambda path: loads.append(path) or load(path))
    parts._load.cache_clear()
    job = new_job("embed", model, None, "", ".npy")
    known = [do_part(job, source, here / f"{name}.npy", None) for name, source in find_parts("data").items()]
    assert loads == [str(Path(model).resolve())]
    assert [(part["rows"], new) for part, new in known] == [(9, True), (7, True), (9, True)]
    first = known[0][0]
    assert do_part(job, here / "data" / "a.csv", here / "a.npy", first) == (first, False)


def test_a_worker_that_has_another_model_than_the_command_says_so(model, here):
    job = dataclasses.replace(new_job("embed", model, None, "", ".npy"), model="0" * 64)
    with pytest.raises(InputError, match=r"a worker does not find .*bert, or finds another model there"):
        do_part(job, here / "data" / "a.csv", here / "a.npy", None)


def test_the_program_of_the_documentation(model, here):
    page = (Path(__file__).parents[1] / "docs" / "many-files.md").read_text(encoding="utf-8")
    program = re.search(r"<!-- tested -->\n```python\n(.*?)```", page, re.DOTALL)[1]
    assert program.count("\n") <= 15
    for number in range(2):
        pd.DataFrame({"content": THIRDS[number]}).to_parquet(f"data/part-{number}.parquet")
    Path("data/c.parquet").unlink()
    Path("program.py").write_text(program.replace("all-MiniLM-L6-v2", model).replace("384", "21"), "utf-8")
    subprocess.run([sys.executable, "program.py"], check=True, timeout=300)
    expected = SentenceEncoder.from_pretrained(model).encode(LINES[:16])
    np.testing.assert_allclose(pd.read_parquet("vectors"), expected, atol=1e-6)


# -- predict ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["text", "json"])
def test_each_part_is_answered_as_it_is_alone(trained, on_cluster, form, capsys):
    assert main(["predict", str(trained), "--data", "data/*", "--out", "answers", "--format", form, *on_cluster]) == 0
    out, err = capsys.readouterr()
    assert out == "25 answers written to answers, of 3 files\n"
    assert f"note: {LINES.count('')} of 25 texts are blank and have no answer\n" in err
    suffix = {"text": "csv", "json": "jsonl"}[form]
    for file in ("a.csv", "b.jsonl.gz", "c.parquet"):
        alone = ["predict", str(trained), "--data", f"data/{file}", "--out", f"alone.{suffix}", "--overwrite"]
        assert main(alone) == 0
        assert Path("answers", f"{file[0]}.{suffix}").read_bytes() == Path(f"alone.{suffix}").read_bytes()


def test_parts_of_all_kinds_and_one_that_is_called_parts(trained, on_cluster, capsys):
    Path("data/0.txt").write_text("love it\nhate it\n", "utf-8")
    pd.DataFrame({"content": ["fine"]}).to_csv("data/parts.csv", index=False)
    command = ["predict", str(trained), "--data", "data", "--out", "answers", "--format", "json", *on_cluster]
    assert main(command) == 0
    assert main(command) == 0
    assert "5 of 5 files were finished already\n28 answers written" in capsys.readouterr().out
    assert json.loads(Path("answers/parts.jsonl").read_text("utf-8"))["text"] == "fine"


# -- search ----------------------------------------------------------------------------------------------------


def test_a_search_over_parts_finds_what_one_over_a_file_finds(model, on_cluster, capsys):
    pd.DataFrame({"content": LINES}).to_csv("all.csv", index=False)
    assert main(["embed", model, "data", "--out", "vectors", *on_cluster]) == 0
    ask = ["Great film!", "--top-k", "8", "--format", "json"]
    capsys.readouterr()
    assert main(["search", model, "all.csv", *ask, "--top-k", "25"]) == 0
    whole = {hit["corpus_id"]: hit for hit in map(json.loads, capsys.readouterr().out.splitlines())}
    assert main(["search", model, "data", *ask, "--vectors", "vectors"]) == 0
    out, err = capsys.readouterr()
    hits = [json.loads(line) for line in out.splitlines()]
    starts = {"a.csv": 0, "b.jsonl.gz": 9, "c.parquet": 16}
    alone = [whole[starts[hit["part"]] + hit["corpus_id"]] for hit in hits]
    assert [hit["text"] for hit in hits] == [hit["text"] for hit in alone]
    np.testing.assert_allclose([hit["score"] for hit in hits], [hit["score"] for hit in alone], atol=1e-6)
    best = [hit["score"] for hit in whole.values()][:8]  # of some that are equal, rounding decides which
    np.testing.assert_allclose([hit["score"] for hit in hits], best, atol=1e-6)
    assert f"note: {LINES.count('')} of 25 texts are blank and left out\n" in err
    pd.DataFrame({"content": THIRDS[0][::-1]}).to_csv("data/a.csv", index=False)
    told = refused(capsys, "search", model, "data", *ask, "--vectors", "vectors")
    assert "vectors/a.npy was made of other texts" in told


def test_a_pattern_that_finds_results_too_leaves_them_out(trained, on_cluster):
    command = ["predict", str(trained), "--data", "data/**", "--out", "data/out", *on_cluster]
    assert main(command) == main(command) == 0
    assert sorted(path.name for path in Path("data/out").glob("*.csv")) == ["a.csv", "b.csv", "c.csv"]


def test_a_name_that_is_no_text_is_a_part_like_others(trained, on_cluster):
    odd = os.fsdecode(b"data/bad\xff.CSV.GZ")
    Path(odd).write_bytes(gzip.compress(Path("data/a.csv").read_bytes()))
    assert main(["predict", str(trained), "--data", "data/*", "--out", "out", *on_cluster]) == 0
    assert Path(os.fsdecode(b"out/bad\xff.csv")).read_bytes() == Path("out/a.csv").read_bytes()


@pytest.mark.parametrize("delay", [0.5, 1.5])
def test_ctrl_c_of_a_terminal_is_one_line(trained, delay):
    """It reaches every process of the group, also the workers, which wrote tracebacks, and finds a cluster starting."""
    command = [sys.executable, "-m", "minitx", "predict", str(trained), "--data", "data/*", "--out", "out"]
    with subprocess.Popen(
        [*command, "--engine", "dask"],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        while not Path("out/parts.log").exists():
            time.sleep(0.05)
        time.sleep(delay)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=120)
    interrupted = "interrupted; out has what is finished; the same command goes on\n"
    finished = "warning: 5 of 25 texts were too long and cut\nnote: 5 of 25 texts are blank and have no answer\n"
    assert {*err.splitlines(keepends=True)} <= {interrupted, *finished.splitlines(keepends=True)}, err
    # It may come while the last lines are said, and after them, while the interpreter is ending.
    assert process.returncode == 130 if interrupted in err else process.returncode in (0, -signal.SIGINT), err
