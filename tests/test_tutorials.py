"""The tutorials run, keep to their form, and their exercises can be solved and failed.

Readers: the solutions of the exercises are at the end of this file.
"""

import ast
import math
import os
import re
import runpy
import subprocess
import sys
import time
from pathlib import Path

import pytest
from threadpoolctl import threadpool_limits

DIRECTORY = Path(__file__).parents[1] / "tutorials"
TUTORIALS = sorted(DIRECTORY.glob("[0-9][0-9]_*.py"))
SECONDS = 30  # what a tutorial may take; asserted loosely, as the machine may be busy

each = pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)


@pytest.fixture(scope="module")
def namespace(tmp_path_factory):
    """What a tutorial defines; each is run once for all tests here."""
    done = {}

    def run(path: Path) -> dict:
        if path not in done:
            before = Path.cwd()
            os.chdir(tmp_path_factory.mktemp(path.stem))
            threads = threadpool_limits()  # a tutorial may set fewer
            try:
                done[path] = runpy.run_path(str(path))
            finally:
                threads.restore_original_limits()
                os.chdir(before)
        return done[path]

    return run


@each
def test_it_runs_as_a_script_from_any_directory_and_writes_its_picture(path, tmp_path):
    environment = {key: value for key, value in os.environ.items() if key not in ("DISPLAY", "MPLBACKEND")}
    environment["OPENBLAS_NUM_THREADS"] = "1"
    start = time.perf_counter()
    result = subprocess.run(
        [sys.executable, "-W", "error", str(path)], cwd=tmp_path, env=environment, capture_output=True, encoding="utf-8"
    )
    seconds = time.perf_counter() - start
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    assert "Exercise: not done yet" in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 120
    assert seconds < 4 * SECONDS
    written = [str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*") if file.is_file()]
    assert written == [str(Path("runs", "tutorials", f"{path.stem}.png"))]
    picture = (tmp_path / written[0]).read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert len(picture) > 10_000


def test_numbers_have_no_gap():
    assert [int(path.name[:2]) for path in TUTORIALS] == list(range(1, len(TUTORIALS) + 1))
    assert TUTORIALS


@each
def test_the_readme_lists_it_with_files_that_exist(path):
    rows = [line for line in (DIRECTORY / "README.md").read_text("utf-8").splitlines() if f"({path.name})" in line]
    assert len(rows) == 1
    number, question, files, seconds = (cell.strip() for cell in rows[0].strip("|").split("|"))
    assert number == f"[{path.name[:2]}]({path.name})"
    assert question.endswith("?")
    assert int(seconds.removesuffix(" s")) < SECONDS
    links = re.findall(r"\((.*?)\)", files)
    assert links
    assert all((DIRECTORY / link).is_file() for link in links)


@each
def test_it_keeps_to_the_form(path):
    source = path.read_text(encoding="utf-8")
    docstring = ast.get_docstring(ast.parse(source)) or ""
    assert docstring.startswith(f"{path.name[:2]}. ")
    assert f"python tutorials/{path.name} " in docstring
    assert f"runs/tutorials/{path.stem}.png" in docstring
    (beside,) = re.findall(r"^Open beside it: +(.*)$", docstring, flags=re.MULTILINE)
    assert all((DIRECTORY.parent / file).is_file() for file in re.findall(r"minitx/[\w/]+\.py", beside))
    files = re.findall(r"`((?:minitx|tests)/[\w/]+\.py)`", source)
    assert all((DIRECTORY.parent / file).is_file() for file in files)
    cells = re.split(r"^# %%", source, flags=re.MULTILINE)[1:]
    markdown = [cell for cell in cells if cell.startswith(" [markdown]")]
    prose = "".join(markdown)
    assert prose.count("**Predict:**") >= 4
    assert "## Exercise" in markdown[-1]
    code = "".join(cell for cell in cells if cell not in markdown).splitlines()
    assert sum(bool(line.strip()) for line in code if not line.startswith("#")) <= 200
    for cell in markdown:  # what a notebook would show as text is text throughout
        assert all(line.startswith("#") for line in cell.splitlines()[1:] if line)
    assert "pyplot" not in source
    unexplained = [node.lineno for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Assert) and not node.msg]
    assert not unexplained, "an assert without a reason"


# -- the exercises: a solution and mistakes one might make ---------------------------------------------------------


def softplus(Value):
    """01"""

    def right(x):
        return Value(math.log(1 + math.exp(x.data)), (x,), lambda dy: (dy / (1 + math.exp(-x.data)),))

    def forgets_dy(x):
        return Value(math.log(1 + math.exp(x.data)), (x,), lambda dy: (1 / (1 + math.exp(-x.data)),))

    def wrong_sign(x):
        return Value(math.log(1 + math.exp(x.data)), (x,), lambda dy: (dy / (1 + math.exp(x.data)),))

    def wrong_value(x):
        return Value(math.log(1 + math.exp(-x.data)), (x,), lambda dy: (dy / (1 + math.exp(-x.data)),))

    return right, [forgets_dy, wrong_sign, wrong_value]


def encode(join):
    """02"""

    def right(word, merges):
        tokens = list(word)
        for left, right in merges:
            tokens = join(tokens, left, right)
        return tokens

    def longest_from_the_left(word, merges):
        known = {left + right for left, right in merges} | set(word)
        tokens = []
        while word:
            token = next(word[:end] for end in range(len(word), 0, -1) if word[:end] in known)
            tokens.append(token)
            word = word[len(token) :]
        return tokens

    def in_the_wrong_order(word, merges):
        return right(word, merges[::-1])

    return right, [longest_from_the_left, in_the_wrong_order]


def layer_wise(_):
    """03"""

    def right(model, top, decay):
        encoder, blocks = model.encoder, model.encoder.transformer.blocks
        groups = [{"params": head.parameters(), "lr": top} for head in model.heads.values()]
        for distance, block in enumerate(reversed(blocks), start=1):
            groups.append({"params": block.parameters(), "lr": top * decay**distance})
        bottom = [*encoder.embedding.parameters(), *encoder.norm.parameters()]
        return [*groups, {"params": bottom, "lr": top * decay ** (len(blocks) + 1)}]

    def upside_down(model, top, decay):  # "each layer 95 % of the one before", counted from the bottom
        groups = right(model, top, decay)
        rates = sorted(group["lr"] for group in groups)
        return [{**group, "lr": rate} for group, rate in zip(groups, rates, strict=True)]

    def forgets_the_bottom(model, top, decay):
        return right(model, top, decay)[:-1]

    return right, [upside_down, forgets_the_bottom]


def mean_reciprocal_rank(np):
    """04"""

    def right(cosines, answers):
        of_right = cosines[np.arange(len(cosines)), answers]
        return float(np.mean(1 / (1 + (cosines > of_right[:, None]).sum(axis=1))))

    def mean_rank_turned_over(cosines, answers):
        of_right = cosines[np.arange(len(cosines)), answers]
        return float(1 / np.mean(1 + (cosines > of_right[:, None]).sum(axis=1)))

    def counts_from_zero(cosines, answers):
        of_right = cosines[np.arange(len(cosines)), answers]
        return float(np.mean(1 / np.maximum(1, (cosines > of_right[:, None]).sum(axis=1))))

    def lowest_first(cosines, answers):
        return right(-cosines, answers)

    return right, [mean_rank_turned_over, counts_from_zero, lowest_first]


EXERCISES = {
    "01": (softplus, "Value"),
    "02": (encode, "join"),
    "03": (layer_wise, "np"),
    "04": (mean_reciprocal_rank, "np"),
}


@each
def test_the_exercise_can_be_solved_and_failed(path, namespace):
    make, needs = EXERCISES[path.name[:2]]
    tutorial = namespace(path)
    check = tutorial["check"]
    right, wrong = make(tutorial[needs])
    assert check(tutorial["exercise"]) is False, "the stub counts as not done yet"
    assert check(right) is True
    assert wrong
    for mistake in wrong:
        with pytest.raises(AssertionError, match=r"\w"):
            check(mistake)
