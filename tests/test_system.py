"""Fields of JSON files: what is wrong is named by file and key, with what is accepted. Its users' tests do the rest."""

import doctest

import pytest

from minitx import system
from minitx.errors import InputError
from minitx.system import Fields, read_fields, usable_cores
from minitx.writing import write_json


def test_the_example_in_the_docstring():
    result = doctest.testmod(system)
    assert result.attempted > 0
    assert result.failed == 0


FIELDS = Fields({"n": 3, "x": 0.5, "on": True, "off": None, "list": [{"a": 1}, 2], "inner": {"n": "4"}}, "f.json")


def test_values_of_the_kind_asked_for():
    assert FIELDS.get("n", int) == FIELDS.get("n", float) == FIELDS.get("n", int, least=3) == 3
    assert FIELDS.get("on", bool) is True
    assert FIELDS.get("off", int, 7) == FIELDS.get("absent", int, 7) == 7
    assert FIELDS.get("off", int, None) is None
    assert FIELDS.within("absent", {}).data == {}
    assert FIELDS.each("absent", []) == []
    assert FIELDS.choose("absent", "first", "second") == FIELDS.choose("off", "first") == "first"
    assert FIELDS.choose("n", None, 3) == 3


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda: FIELDS.get("absent", str), "f.json: absent is missing; it must be text"),
        (lambda: FIELDS.get("off", str), "f.json: off is missing; it must be text"),
        (lambda: FIELDS.get("x", int), "f.json: x is 0.5; it must be a whole number"),
        (lambda: FIELDS.get("on", int), "f.json: on is True; it must be a whole number"),
        (lambda: FIELDS.get("on", float), "f.json: on is True; it must be a number"),
        (lambda: FIELDS.get("n", bool), "f.json: n is 3; it must be true or false"),
        (lambda: FIELDS.get("n", int, least=4), "f.json: n is 3; it must be a whole number of at least 4"),
        (lambda: FIELDS.get("x", float, 2, least=1), "f.json: x is 0.5; it must be a number of at least 1"),
        (
            lambda: Fields({"x": float("nan")}, "f").get("x", float, least=1),
            "f: x is nan; it must be a number of at lea",
        ),
        (lambda: FIELDS.within("n"), "f.json: n is 3; it must be an object"),
        (lambda: FIELDS.within("inner").get("n", int), "f.json: inner: n is '4'; it must be a whole number"),
        (lambda: FIELDS.each("list"), "f.json: list 1 holds 2; it must be an object"),
        (lambda: FIELDS.choose("n", None, "a"), "f.json: n 3 is not implemented; accepted: none, a"),
        (lambda: Fields({"x": "y" * 999}, "f").get("x", int), f"f: x is '{'y' * 27}...{'y' * 28}'; it must be"),
    ],
)
def test_what_is_wrong_is_named(ask, message):
    with pytest.raises(InputError) as error:
        ask()
    assert str(error.value).startswith(message)


def test_a_file_may_be_optional_but_not_something_else(tmp_path):
    assert read_fields(tmp_path / "none.json", optional=True).data == {}
    with pytest.raises(InputError, match=r"none\.json: No such file"):
        read_fields(tmp_path / "none.json")
    write_json(tmp_path / "list.json", [1])
    with pytest.raises(InputError, match=r"list\.json holds \[1\]; it must be an object"):
        read_fields(tmp_path / "list.json", optional=True)
    with pytest.raises(InputError, match="cannot be written"):
        write_json(tmp_path, {})


@pytest.mark.parametrize(
    ("asked", "found"),
    [("1", 1), ("3", 3), ("99", 8), ("", 8), ("0", 8), ("-1", 8), ("many", 8), ("9" * 99, 8), ("4,2", 4)],
)
def test_omp_num_threads_is_obeyed_where_it_is_a_number_of_cores_there_are(monkeypatch, asked, found):
    monkeypatch.setattr(system, "cores", lambda: set(range(8)))
    monkeypatch.setattr(system, "_asked", asked)
    assert usable_cores() == found
