"""A few of the kills of `python -m benchmarks.kills`: processes that are ended at random instants, and resumed."""

import pytest

from benchmarks.kills import Subject, embed, kill_all, parts, training


def test_embed_that_is_killed_ends_with_the_bytes_of_a_run_never_killed(tmp_path):
    (tmp_path / "runs").mkdir()
    outcome = kill_all(embed(tmp_path, size=1 / 40), 3, seed=0, place=tmp_path / "runs")
    assert outcome.kills.total() == 3
    assert outcome.wrong == []


def test_parts_whose_workers_are_killed_end_with_the_bytes_of_a_run_never_killed(tmp_path):
    (tmp_path / "runs").mkdir()
    outcome = kill_all(parts(tmp_path, size=1 / 10), 3, seed=0, place=tmp_path / "runs")
    assert outcome.kills.total() == 3
    assert outcome.wrong == []


def test_a_training_that_is_killed_ends_with_the_bytes_of_a_run_never_killed(tmp_path):
    (tmp_path / "runs").mkdir()
    outcome = kill_all(training(tmp_path, size=1 / 4), 10, seed=0, place=tmp_path / "runs")
    assert outcome.kills.total() == 10
    assert outcome.wrong == []


@pytest.mark.parametrize(
    ("goes_on", "wrong"),
    [
        ("echo 1 > x; rm begun", []),
        ("echo 2 > x; rm begun", ["run-0: x is missing, differs, or is left over"]),
        ("echo 1 > x", ["run-0: begun is missing, differs, or is left over"]),
        ("rm begun", ["run-0: x is missing, differs, or is left over"]),
        ("echo 1 > x; rm begun; exit 3", ["run-0: exit code 3"]),
    ],
)
def test_a_run_that_goes_on_wrongly_is_found(tmp_path, goes_on, wrong):
    """A stand-in that does not end before it is killed."""

    def command(folder):
        if folder.name == "reference":
            return ["sh", "-c", "echo 1 > x"]
        if (folder / "begun").exists():
            return ["sh", "-c", goes_on]
        (folder / "begun").touch()
        return ["sleep", "60"]

    outcome = kill_all(Subject(command, lambda folder: 1), 1, seed=0, place=tmp_path)
    assert outcome.wrong == wrong
    assert outcome.kills.total() == outcome.runs == 1
