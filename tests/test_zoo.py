"""A seeded part of the zoo, `python -m benchmarks.zoo`: what loads here and there gives the same vectors."""

import random

import pytest

from benchmarks import zoo

ANIMALS = zoo.animals()
PART = random.Random(0).sample(ANIMALS, 24)


@pytest.fixture(autouse=True, scope="module")
def nothing_said():
    with zoo.quiet():
        yield


def test_the_zoo_is_large_and_no_two_are_alike():
    assert len(ANIMALS) >= 250
    assert len({animal.name for animal in ANIMALS}) == len(ANIMALS)


@pytest.mark.parametrize("animal", PART, ids=lambda animal: animal.name)
def test_what_both_load_is_equal(animal, tmp_path):
    end = zoo.meet(animal, tmp_path)
    assert not end.wrong, f"{end.end}: {end.detail}"
    assert end.end != "not made", end.detail


def test_a_difference_would_be_seen(tmp_path, monkeypatch):
    animal = zoo.Animal("planted", "bert/new", zoo.same, "equal")
    encode = zoo.SentenceEncoder.encode
    monkeypatch.setattr(zoo.SentenceEncoder, "encode", lambda self, texts: encode(self, texts) + 1e-4)
    assert zoo.meet(animal, tmp_path).wrong
    monkeypatch.setattr(zoo.SentenceEncoder, "encode", lambda self, texts: encode(self, texts)[:, 1:])
    assert zoo.meet(animal, tmp_path).wrong


def test_a_refusal_that_names_nothing_would_be_seen(tmp_path, monkeypatch):
    def refuse(path):
        raise zoo.InputError("no")

    monkeypatch.setattr(zoo.SentenceEncoder, "from_pretrained", refuse)
    assert zoo.meet(zoo.Animal("planted", "bert/new", zoo.same), tmp_path).wrong
