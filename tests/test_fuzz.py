"""A seeded thousand damaged files for each reader, in this process; `python -m benchmarks.fuzz` reads many more."""

import warnings
from pathlib import Path
from random import Random

import pytest

from benchmarks.fuzz import registry
from benchmarks.fuzz_mutate import STRUCTURED, mutate, mutate_bytes, spans
from benchmarks.fuzz_readers import Corpus, Reader
from minitx.errors import InputError

INPUTS = 1000


@pytest.mark.parametrize("name", registry())
def test_a_thousand_damaged_files_are_read_or_refused_in_one_line(name, tmp_path):
    corpus = Corpus(registry()[name], tmp_path / "files")
    for file, contents in corpus.valid.items():
        assert all(corpus.attempt(file, content) for content in contents), f"a valid {file} is refused"
    accepted = sum(corpus.attempt(*corpus.mutant(f"suite {name} {number}")) for number in range(INPUTS))
    assert 0 < accepted < INPUTS  # else nothing was tried: every mutant is broken alike, or none is


# -- the harness finds what it should --------------------------------------------------------------------------------


def planted(tmp_path, read):
    def make(directory: Path) -> dict[str, list[bytes]]:
        (directory / "x.txt").write_text("a\nb\n", encoding="utf-8")
        return {"x.txt": []}

    return Corpus(Reader("planted", make, read), tmp_path / "planted")


def test_what_a_reader_may_do_and_what_is_a_finding(tmp_path):
    class Loud(InputError):
        """As an error would print that did not spell out what a file brings into it."""

        __str__ = Exception.__str__

    def refuse(message):
        raise Loud(message)

    assert planted(tmp_path, lambda path: None).attempt("x.txt", b"")
    assert not planted(tmp_path, lambda path: refuse("x.txt: no")).attempt("x.txt", b"")
    with pytest.raises(KeyError):
        planted(tmp_path, lambda path: {}[path]).attempt("x.txt", b"")
    with pytest.raises(UserWarning):
        planted(tmp_path, lambda path: warnings.warn("overflow", stacklevel=1)).attempt("x.txt", b"")
    for message in ("two\nlines", "\x1b[31m", "\ud800"):
        with pytest.raises(AssertionError, match="not one printable line"):
            planted(tmp_path, lambda path, message=message: refuse(message)).attempt("x.txt", b"")


def test_a_damaged_file_is_there_only_while_it_is_read(tmp_path):
    seen = []
    corpus = planted(tmp_path, lambda path: seen.append(path.read_bytes()))
    corpus.attempt("x.txt", b"damage")
    assert seen == [b"damage"]
    assert (tmp_path / "planted" / "x.txt").read_bytes() == corpus.valid["x.txt"][0]


def test_inputs_depend_on_nothing_but_the_seed(tmp_path):
    name = next(iter(registry()))
    first, second = (Corpus(registry()[name], tmp_path / str(i)) for i in range(2))
    mutants = [first.mutant(str(seed)) for seed in range(200)]
    assert mutants == [second.mutant(str(seed)) for seed in range(200)]
    assert len({content for _, content in mutants}) > 150


@pytest.mark.parametrize("suffix", [*STRUCTURED, ".anything"])
def test_mutators_never_fail_and_mostly_change_something(suffix):
    content = b'{"a": [1, {"b": "c"}], "d": null}\n'
    content = len(content).to_bytes(8, "little") + content + bytes(8) if suffix == ".safetensors" else content
    rng, changed = Random(0), 0
    for _ in range(500):
        mutant = mutate(rng, suffix, content, [content])
        changed += mutant != content
        mutate(rng, suffix, mutant, [content, b""])  # a mutant of a mutant may be anything
    assert changed > 400
    assert all(isinstance(mutate_bytes(rng, b"", []), bytes) for _ in range(100))


def test_keys_values_and_items_of_json_are_found():
    text = '{"a": [1, {"b": "c"}], "d": null}'
    found = {(kind, text[start:end]) for places in spans(text).values() for kind, _, start, end in places}
    assert {("key", '"a"'), ("key", '"b"'), ("value", "1"), ("value", '{"b": "c"}'), ("item", '"d": null')} < found
    assert ("value", text) in found
