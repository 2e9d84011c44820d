"""Fixtures that several files share."""

import importlib
from pathlib import Path

import numpy as np
import pytest

from minitx.app.cli import main
from minitx.data.samples import synthetic_reviews

REAL_REVIEWS = Path(__file__).parents[1].parent / "shared" / "data" / "netflix_reviews.csv"

# Small enough to train in a second, and no smaller.
TINY = [
    *("--epochs", "2", "--hidden-size", "16", "--intermediate-size", "32", "--num-heads", "2", "--num-layers", "1"),
    *("--vocab-size", "400", "--max-length", "32"),
]


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """With `-m quick`, files without that mark are not even imported: many need torch, and seconds to load it."""
    if config.getoption("markexpr") == "quick" and collection_path.name.startswith("test_"):
        return "mark.quick" not in collection_path.read_text(encoding="utf-8") or None
    return None


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def real_reviews() -> Path:
    """The real review file, which is not part of the project: tests that need it are skipped where it is absent."""
    if not REAL_REVIEWS.exists():
        pytest.skip("the real reviews are not here")
    return REAL_REVIEWS


@pytest.fixture(scope="session")
def reviews_csv(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("data") / "reviews.csv"
    synthetic_reviews(n=600, seed=3).to_csv(path, index=False)
    return path


@pytest.fixture(scope="session")
def trained(tmp_path_factory, reviews_csv) -> Path:
    """The result directory of a tiny run. Not to be written into: copy it."""
    directory = tmp_path_factory.mktemp("runs") / "tiny"
    assert main(["train", "--data", str(reviews_csv), "--out", str(directory), *TINY]) == 0
    return directory


@pytest.fixture(scope="session")
def model(tmp_path_factory) -> str:
    """The directory of a tiny encoder as others write them. Not to be written into: copy it."""
    path = tmp_path_factory.mktemp("models") / "bert"
    importlib.import_module("checkpoints").make_checkpoint("bert", path)  # loads torch, which most files do without
    return str(path)
