"""Files and directories are there whole or not at all, and nothing that minitx did not write is touched."""

import errno
import os
import shutil
import threading
from pathlib import Path

import pytest

from minitx import writing
from minitx.errors import InputError
from minitx.writing import (
    UNFINISHED,
    alone,
    check_target,
    new_directory,
    publish,
    remove_partials,
    take_place,
    whole_file,
    write_json,
)

MODEL = ("config.json", "model.safetensors", "modules.json", "1_Pooling/config.json")


def fill(folder: Path, text: str = "new", names=MODEL) -> None:
    for name in names:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")


def contents(folder: Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): p.read_text("utf-8") for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture
def old(tmp_path):
    fill(tmp_path / "old" if (tmp_path / "old").mkdir() is None else tmp_path, "old")
    return tmp_path / "old"


class Killed(BaseException):
    """Stands for a SIGKILL: nothing in minitx catches it, and `killing` keeps `finally` from tidying up."""


def killed_at_each_call(monkeypatch, act, *functions):
    """Run `act` again and again, each time ended at a later call of one of os's functions; yields after each."""
    real = {name: getattr(os, name) for name in functions}
    for last in range(10_000):
        calls = 0

        def end(name, *args, last=last, **kwargs):
            nonlocal calls
            calls += 1
            if calls > last:  # and every later one too: a process that is gone tidies nothing up
                raise Killed
            return real[name](*args, **kwargs)

        with monkeypatch.context() as patch:
            for name in functions:
                patch.setattr(os, name, lambda *a, _name=name, **k: end(_name, *a, **k))
            try:
                act()
                return
            except Killed:
                pass
        yield last


def test_a_file_is_there_whole_or_not_at_all(tmp_path):
    path = tmp_path / "page.html"
    path.write_text("old", encoding="utf-8")

    def half():
        with whole_file(path) as partial:
            partial.write_text("hal", encoding="utf-8")
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(InputError, match=r"page\.html cannot be written: No space left on device"):
        half()
    assert contents(tmp_path) == {"page.html": "old"}
    with whole_file(path) as partial:
        partial.write_text("new", encoding="utf-8")
    assert contents(tmp_path) == {"page.html": "new"}


def test_what_appears_meanwhile_is_not_replaced(tmp_path):
    path, partial = tmp_path / "x.npy", tmp_path / "x.npy.partial"

    def late():
        partial.write_text("ours", encoding="utf-8")
        path.write_text("theirs", encoding="utf-8")
        take_place(partial, path)

    with pytest.raises(InputError, match="has appeared meanwhile"):
        late()
    assert contents(tmp_path) == {"x.npy": "theirs", "x.npy.partial": "ours"}


def test_a_disk_without_second_names(tmp_path, monkeypatch):
    def link(*_):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)
    partial, path = tmp_path / "partial", tmp_path / "x"
    partial.write_text("ours", encoding="utf-8")
    take_place(partial, path)
    assert contents(tmp_path) == {"x": "ours"}
    partial.write_text("later", encoding="utf-8")
    with pytest.raises(OSError, match="not permitted"):
        take_place(partial, path)
    assert contents(tmp_path) == {"partial": "later", "x": "ours"}


def test_a_symlink_stays_and_its_file_is_replaced(tmp_path):
    (tmp_path / "real.json").write_text("{}", encoding="utf-8")
    (tmp_path / "link.json").symlink_to("real.json")
    write_json(tmp_path / "link.json", [1])
    assert (tmp_path / "link.json").is_symlink()
    assert "1" in (tmp_path / "real.json").read_text("utf-8")


def test_a_directory_takes_its_name_at_the_start_and_a_second_one_is_refused(tmp_path):
    path = tmp_path / "run"
    with new_directory(path) as folder:
        assert path.is_dir()
        refused = []

        def second():
            with pytest.raises(InputError) as error, new_directory(path):
                pass
            refused.append(str(error.value))

        thread = threading.Thread(target=second)
        thread.start()
        thread.join()
        fill(folder)
    assert refused == [f"{path} is in use: another minitx is at work there"]
    assert list(contents(path)) == sorted(MODEL)


def test_what_others_put_there_stays(tmp_path, old):
    (old / "notes.txt").write_text("mine", encoding="utf-8")
    (old / "1_Pooling" / "more.txt").write_text("mine", encoding="utf-8")
    (old / "heads.safetensors").write_text("of an older minitx", encoding="utf-8")
    with new_directory(old, overwrite=True) as folder:
        fill(folder)
        (old / "thesis").mkdir()
        (old / "thesis" / "chapter.txt").write_text("mine", encoding="utf-8")
    found = contents(old)
    assert {name for name, text in found.items() if text == "mine"} == {
        *("notes.txt", "1_Pooling/more.txt", "thesis/chapter.txt"),
    }
    assert {name for name, text in found.items() if text == "new"} == set(MODEL)
    assert "heads.safetensors" not in found


def test_what_looks_like_ours_and_is_not_stays(tmp_path, old):
    mine = ("metrics.json", "confusion_mine.png")
    with new_directory(tmp_path / "new") as folder:
        fill(folder)
        fill(tmp_path / "new", "mine", mine)
    assert {name: text for name, text in contents(tmp_path / "new").items() if text == "mine"}.keys() == set(mine)
    fill(old, "mine", ("confusion_mine.png",))
    fill(old, "old", ("confusion_old.png",))
    write_json(old / "manifest.json", {"files": dict.fromkeys([*MODEL, "confusion_old.png", "../x"])})
    with new_directory(old, overwrite=True) as folder:
        fill(folder)
    assert contents(old) == dict.fromkeys(MODEL, "new") | {"confusion_mine.png": "mine"}


def test_after_a_kill_in_the_final_moves_the_same_call_loses_nothing(old, monkeypatch):
    """The old files may be gone by then, so the result that was finished counts as the old one."""

    def write(text, error=None):
        with new_directory(old, overwrite=True) as folder:
            fill(folder, text)
            if error:
                raise error

    for _ in killed_at_each_call(monkeypatch, lambda: write("second"), "replace", "unlink", "rmdir"):
        with pytest.raises(RuntimeError, match="in the body"):
            write("third", RuntimeError("in the body"))
        assert contents(old) in (dict.fromkeys(sorted(MODEL), text) for text in ("old", "second"))


def test_an_error_leaves_nothing_of_a_new_one_and_all_of_an_old_one(tmp_path, old):
    def fail(path, overwrite):
        with new_directory(path, overwrite) as folder:
            fill(folder)
            raise RuntimeError("midway")

    (tmp_path / "empty").mkdir()
    before = contents(tmp_path)
    for path, overwrite in ((tmp_path / "new", False), (old, True), (tmp_path / "empty", False)):
        with pytest.raises(RuntimeError, match="midway"):
            fail(path, overwrite)
    assert contents(tmp_path) == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["empty", "old"]


def test_a_file_of_a_name_we_need_that_appears_is_kept_and_the_result_too(tmp_path):
    path = tmp_path / "run"

    def write():
        with new_directory(path) as folder:
            fill(folder)
            (path / "modules.json").write_text("theirs", encoding="utf-8")

    with pytest.raises(InputError, match=r"modules\.json has appeared meanwhile"):
        write()
    assert contents(path)["modules.json"] == "theirs"
    (path / "modules.json").rename(tmp_path / "elsewhere")
    publish(path, overwrite=False)
    assert set(contents(path).values()) == {"new"}


@pytest.mark.parametrize("overwrite", [False, True])
def test_killed_at_any_instant_there_is_the_old_or_the_new_one_and_never_a_mixture(tmp_path, monkeypatch, overwrite):
    path, kills = tmp_path / "run", 0

    def write():
        with new_directory(path, overwrite) as folder:
            fill(folder)

    if overwrite:
        path.mkdir()
        fill(path, "old")
    for _ in killed_at_each_call(monkeypatch, write, "replace", "unlink", "fsync", "rmdir", "mkdir"):
        kills += 1
        if (path / "config.json").exists():  # what makes it complete
            assert len({text for name, text in contents(path).items() if UNFINISHED not in name}) == 1
        elif overwrite or any((path / UNFINISHED / name).exists() for name in ("result", "moving")):
            publish(path, overwrite)
            assert {contents(path)[name] for name in MODEL} == {"new"}
        shutil.rmtree(path, ignore_errors=True)
        if overwrite:
            path.mkdir()
            fill(path, "old")
    assert kills > 5
    assert {contents(path)[name] for name in MODEL} == {"new"}


@pytest.mark.parametrize("kind", ["file", "dangling", "photos"])
def test_what_is_no_directory_of_ours_is_refused_and_left_alone(tmp_path, kind):
    path = tmp_path / "out"
    if kind == "file":
        path.write_text("mine", encoding="utf-8")
    elif kind == "dangling":
        path.symlink_to("nowhere")
    else:
        path.mkdir()
        (path / "config.json").write_text("mine", encoding="utf-8")  # many programs have one
    for overwrite in (False, True):
        with pytest.raises(InputError, match="out"), new_directory(path, overwrite):
            pass
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    assert kind == "dangling" or "mine" in contents(tmp_path).values()


def test_what_a_kill_left_half_written_is_swept_away(tmp_path):
    path = tmp_path / "run"
    (path / UNFINISHED / "writing").mkdir(parents=True)
    (path / UNFINISHED / "writing" / "config.json").touch()
    (path / UNFINISHED / ".checkpoint-0123abcd.safetensors").touch()
    with new_directory(path) as folder:
        assert list(folder.iterdir()) == []
        fill(folder)
    assert list(contents(path)) == sorted(MODEL)
    assert not (path / UNFINISHED).exists()


def test_a_symlink_to_a_directory_stays_one(tmp_path, old):
    link = tmp_path / "link"
    link.symlink_to("old")
    with new_directory(link, overwrite=True) as folder:
        fill(folder)
    assert link.is_symlink()
    assert set(contents(old).values()) == {"new"}


def test_a_directory_that_is_deleted_under_the_work_is_one_line(tmp_path):
    path = tmp_path / "run"

    def write():
        with new_directory(path) as folder:
            for file in (folder, folder.parent / "lock", folder.parent, path):
                file.unlink() if file.is_file() else file.rmdir()
            write_json(folder / "config.json", {})

    with pytest.raises(InputError, match=r"config\.json cannot be written: No such file or directory"):
        write()
    assert list(tmp_path.iterdir()) == []


def test_a_lock_is_let_go_of_and_leaves_nothing(tmp_path):
    for _ in range(2):
        with alone(tmp_path / "lock", tmp_path):
            assert (tmp_path / "lock").exists()
    assert list(tmp_path.iterdir()) == []


def test_an_empty_directory_may_be_written_to(tmp_path):
    check_target(tmp_path)
    with new_directory(tmp_path) as folder:
        fill(folder)
    with pytest.raises(InputError, match="exists already"):
        check_target(tmp_path)


def test_json_holds_a_name_that_is_not_utf8(tmp_path):
    write_json(tmp_path / "x.json", {"data": "caf\udce9.csv"})
    assert writing.json.loads((tmp_path / "x.json").read_text("utf-8")) == {"data": "caf\udce9.csv"}


def test_partials_of_another_file_are_not_removed_though_the_names_begin_alike(tmp_path):
    """Found from outside: parts whose names share their first hundred characters removed each other's."""
    one, other = (tmp_path / f"{'x' * 110}_{number}.csv" for number in (1, 2))
    with whole_file(one) as partial:
        partial.write_text("one")
        remove_partials(other)
        shutil.copy(partial, kept := tmp_path / "kept")
        name = partial
    kept.rename(name)  # as after a kill
    remove_partials(other)
    assert name.exists()
    remove_partials(one)
    assert [path.name for path in tmp_path.iterdir()] == [one.name]
