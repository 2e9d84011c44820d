"""The house rules: budgets of code lines, nothing written twice, a test for every file, quick tests without torch.

`pytest -s tests/test_house.py` prints the lines. `test_imports.py` holds the rules about imports.
"""

import ast
import io
import keyword
import os
import re
import subprocess
import sys
import tokenize
from pathlib import Path

import pytest
from test_imports import FILES, PACKAGE, files_imported

TESTS = Path(__file__).parent
SOURCES = {str(path.relative_to(PACKAGE)): path.read_text(encoding="utf-8") for path in FILES}


# -- budgets ---------------------------------------------------------------------------------------------------

# What someone reads to understand one batch on its way, in reading order.
STATIONS = {
    "autograd": ("engine", "tensor", "functional"),
    "nn": ("module", "layers", "position", "attention", "transformer", "pooling"),
    "text": ("words", "tokenizer", "bpe"),
    "data": ("reviews", "split", "batches"),
    "models": ("config", "encoder", "multitask"),
    "training": ("optim", "schedules", "freezing", "trainer"),
}
# What was split off from a station, and so is still to be read with it: "room/file.py".
SPLIT_OFF = ("autograd/context.py", "autograd/rows.py", "training/groups.py")
# What a station uses and answers a question of its own; a reader need not open it.
USED = {
    "autograd/habits.py": "what else a user of torch would type",
    "autograd/activations.py": "activations that only other people's models have",
    "autograd/losses.py": "losses of numbers, and of labels that do not exclude each other",
    "autograd/erf.py": "a function that NumPy lacks",
    "errors.py": "the one exception for bad input",
    "system.py": "files and cores",
    "writing.py": "files and directories, whole or not at all",
    "data/rules.py": "labels by rule",
    "data/tables.py": "rows of any kind of file, and what became of each",
    "evaluation/evaluate.py": "a model's answers to labelled rows",
    "evaluation/metrics.py": "how good is it?",
    "models/answers.py": "temperatures, words and thresholds, once a model is trained",
    "models/encoding.py": "many texts at once",
    "models/habits.py": "encode, and what else a user of sentence-transformers would type",
    "models/heads.py": "from a vector to logits: linear, with a hidden layer, or along an order",
    "models/hub.py": "models by name",
    "models/pretrained.py": "other people's model directories",
    "models/task_weights.py": "losses weighted by uncertainty",
    "nn/modernbert.py": "what changed since BERT",
    "nn/rare.py": "rarer poolings, and layers behind them",
    "nn/relative.py": "MPNet's bias by distance",
    "text/explain.py": "merges shown one by one",
    "text/offsets.py": "which characters a token came from",
    "text/pairs.py": "two texts as one input",
    "text/specials.py": "special tokens spelt out in a text",
    "text/spec.py": "what a tokenizer file says",
    "text/tokenizer_json.py": "other people's tokenizer files",
    "text/unicode_versions.py": "characters that are newer than a tokenizer",
    "text/truncation.py": "texts that are too long",
    "training/average.py": "a mean of the last steps' weights",
    "training/epochs.py": "what an epoch did, and whom fit tells",
    "training/nonfinite.py": "where a NaN came from",
    "training/blocks.py": "a step on several cores",
    "training/parallel.py": "a batch on several cores",
    "training/ranks.py": "a batch on several processes",
}
READING_PATH = [f"{room}/{name}.py" for room, names in STATIONS.items() for name in names] + list(SPLIT_OFF)
MOST_ON_THE_PATH, MOST_WITHOUT_LEARN, MOST_IN_LEARN, MOST_IN_PLAIN, MOST_IN_A_FILE = 2100, 10750, 2545, 210, 300
SCRIPTS = "\n".join(path.read_text(encoding="utf-8") for path in sorted(PACKAGE.rglob("*.js")))


def docstring_lines(tree: ast.Module) -> set[int]:
    """Numbers of the lines of all docstrings."""
    may_have = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    nodes = [node for node in ast.walk(tree) if isinstance(node, may_have) and ast.get_docstring(node) is not None]
    return {line for node in nodes for line in range(node.body[0].lineno, node.body[0].end_lineno + 1)}


NOT_CODE = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)


def code(source: str) -> dict[int, list[tokenize.TokenInfo]]:
    """Line number -> the tokens that start there, for every line of code: no blanks, comments and docstrings."""
    lines: dict[int, list[tokenize.TokenInfo]] = {}
    docstrings = docstring_lines(ast.parse(source))
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in NOT_CODE and token.start[0] not in docstrings:
            lines.setdefault(token.start[0], []).append(token)
            for line in range(token.start[0] + 1, token.end[0] + 1):
                lines.setdefault(line, [])  # the middle of a long string
    return lines


def test_what_a_line_of_code_is():
    source = '''"""A docstring
of two lines."""

import os  # this is one

def f(
    x,  # three for the signature
):
    """Not this."""
    text = """two
    lines"""
    # nor this
    return (x,
            text)
'''
    assert list(code(source)) == [4, 6, 7, 8, 10, 11, 13, 14]


LINES = {name: len(code(source)) for name, source in SOURCES.items()}


def table() -> str:
    """Code lines of every file, `*` for the reading path."""
    path, rest = sum(LINES[name] for name in READING_PATH), sum(LINES.values())
    learn = sum(lines for name, lines in LINES.items() if name.startswith("learn/"))
    rows = [f"{lines:6} {'*' if name in READING_PATH else ' '} {name}" for name, lines in LINES.items() if lines]
    rows += [
        f"{path:6} * the reading path, at most {MOST_ON_THE_PATH}",
        f"{rest - learn:6}   without learn/, at most {MOST_WITHOUT_LEARN}",
        f"{learn:6}   learn/, at most {MOST_IN_LEARN} with {script_lines(SCRIPTS)} of its pages' JavaScript",
    ]
    return "\n" + "\n".join(rows)


def test_the_reading_path_stays_within_its_budget():
    print(table())
    assert sum(LINES[name] for name in READING_PATH) <= MOST_ON_THE_PATH, table()


def test_the_package_without_learn_stays_within_its_budget():
    assert sum(n for name, n in LINES.items() if not name.startswith("learn/")) <= MOST_WITHOUT_LEARN, table()


def script_lines(source: str) -> int:
    """Lines of JavaScript that are more than a comment."""
    without = re.sub(r"/\*.*?\*/", "", source, flags=re.DOTALL)
    return sum(bool(line.strip()) and not line.strip().startswith("//") for line in without.splitlines())


def test_the_learners_desk_stays_within_its_budget():
    assert script_lines("a; // one\n\n/* two\nthree */\n// four\nb;\n") == 2
    lines = sum(n for name, n in LINES.items() if name.startswith("learn/"))
    assert lines + script_lines(SCRIPTS) <= MOST_IN_LEARN, table()


def test_no_file_is_too_long():
    assert LINES["learn/plain.py"] <= MOST_IN_PLAIN
    assert {name: n for name, n in LINES.items() if n > MOST_IN_A_FILE} == {}


def test_what_a_station_imports_is_a_station_or_answers_a_question_of_its_own():
    """So that lines cannot leave the budget by moving to another file unnoticed: each split is a decision made here."""
    imported = {path for station in READING_PATH for path in files_imported(PACKAGE / station)}
    used = {str(path.relative_to(PACKAGE)) for path in imported} - set(READING_PATH)
    assert used == set(USED), "add what was split off to SPLIT_OFF, what stands for itself to USED; remove what is gone"


# -- nothing twice ---------------------------------------------------------------------------------------------

WINDOW = 6  # lines
SHAPES = 3  # different ones in a window that counts: fewer are a list of rows, such as keyword arguments


def shape(token: tokenize.TokenInfo) -> str:
    """The token without what may differ in a copy: names, strings and numbers."""
    if token.type == tokenize.NAME:
        return token.string if keyword.iskeyword(token.string) else "N"
    return {tokenize.STRING: "S", tokenize.NUMBER: "0"}.get(token.type, token.string)


def body_lines(tree: ast.Module) -> set[int]:
    """Lines of function bodies: not those of signatures, of decorators, of tables of data or of a class's fields."""
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    inside = {line for f in functions for line in range(f.body[0].lineno, f.end_lineno + 1)}
    return inside - {line for f in functions for line in range(f.lineno, f.body[0].lineno)}


def windows(source: str) -> list[tuple[int, tuple[str, ...]]]:
    """(line number, six lines of code), for every six that follow one another and are more than a list of rows.

    In the bodies of functions, a line is its shape, since a copy often has other names. Elsewhere it is taken word for
    word: signatures, fields and tables of data resemble one another without being copies. Blank lines, comments,
    docstrings, imports and lines of brackets alone are passed over.
    """
    tree = ast.parse(source)
    bodies, imports = body_lines(tree), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            imports.update(range(node.lineno, node.end_lineno + 1))
    lines = []
    for number, tokens in code(source).items():
        words = [shape(token) for token in tokens]
        if number not in imports and any(word.isalnum() for word in words):
            text = " ".join(words if number in bodies else [token.string for token in tokens])
            lines.append((number, text, " ".join(words)))
    starts = range(len(lines) - WINDOW + 1)
    six = [lines[start : start + WINDOW] for start in starts]
    return [(w[0][0], tuple(text for _, text, _ in w)) for w in six if len({shapes for *_, shapes in w}) >= SHAPES]


def repeated(sources: dict[str, str]) -> list[str]:
    """`a.py:10 ~ b.py:40` for every six lines that stand twice; of a longer run, where it starts."""
    places: dict[tuple[str, ...], list[tuple[str, int]]] = {}
    for name, source in sources.items():
        for line, window in windows(source):
            places.setdefault(window, []).append((name, line))
    runs: dict[tuple[str, str, int], str] = {}
    for (a, i), *others in places.values():
        for b, j in others:
            runs.setdefault((a, b, j - i), f"{a}:{i} ~ {b}:{j}")
    return list(runs.values())


COPY = """
def f(x, y):
    total = 0
    for item in x:
        if item > y:
            total += item
    print("sum", total)
    return total / len(x)
"""


def test_the_finder_of_copies_finds_what_it_should_and_no_more():
    renamed = COPY.replace("total", "n").replace("x", "rows").replace('"sum"', "'other'").replace("0", "1")
    assert repeated({"a": COPY, "b": "import os\n" + renamed}) == ["a:3 ~ b:4"]
    assert repeated({"a": COPY + COPY.replace("f(", "g(")}) == ["a:3 ~ a:11"]
    assert repeated({"a": COPY, "b": renamed.replace("+=", "-=")}) == []
    signature = "def f(\n    a: int,\n    b: str = '',\n    c: int = 0,\n    *,\n    d: float,\n) -> None:\n    {}\n"
    assert repeated({"a": signature.format("pass"), "b": signature.format("return")}) == ["a:1 ~ b:1"]
    assert repeated({"a": signature.format("pass"), "b": signature.format("return").replace("c", "e")}) == []
    rows = "def f():\n    return g(\n" + "".join(f"        {name}=x.{name},\n" for name in "abcdefgh") + "    )\n"
    assert repeated({"a": rows}) == []


def test_no_six_lines_of_the_package_stand_twice():
    found = repeated(SOURCES)
    assert not found, "\n" + "\n".join(found)


# -- every file has a test -------------------------------------------------------------------------------------

# For each file of the package, or other part of the project, what tests it: test_<name>.py in this folder.
TESTED_BY = {
    "errors.py": "cli reviews",
    "autograd/habits.py": "ops tensor_torch",
    "autograd/losses.py": "losses ops_torch",
    "evaluation/calibration.py": "calibration",
    "models/answers.py": "answers",
    "models/habits.py": "sentence_transformers encode",
    "models/heads.py": "heads",
    "models/quantization.py": "sentence_transformers",
    "models/tensor_like.py": "sentence_transformers",
    "sentence_transformers/__init__.py": "sentence_transformers",
    "sentence_transformers/util.py": "sentence_transformers",
    "sklearn.py": "sklearn",
    "system.py": "system checkpoint",
    "writing.py": "writing checkpoint",
    "app/checkpoints.py": "resume",
    "app/train_command.py": "cli resume",
    "app/manifest.py": "resume",
    "training/epochs.py": "trainer",
    "training/ranks.py": "ranks",
    "app/together.py": "ranks",
    "app/parts.py": "parts kills",
    "app/search_command.py": "parts embed",
    "training/nonfinite.py": "trainer resume",
    "training/progress.py": "resume",
    "terminal.py": "hostile_data",
    "__init__.py": "imports docs",
    "__main__.py": "long_runs",
    "command/__init__.py": "long_runs",
    "app/cli.py": "cli first_hour",
    "app/parser.py": "first_hour",
    "app/embed.py": "embed kills",
    "app/experiment.py": "checkpoint cli study",
    "app/mistakes.py": "mistakes",
    "app/mistakes_page.py": "mistakes",
    "app/themes.py": "themes",
    "app/plots.py": "cli freezing",
    "app/predict.py": "predict",
    "app/estimate.py": "cli first_hour",
    "app/prepare.py": "trainer cli study",
    "app/pretrain.py": "pretraining",
    "app/settings.py": "settings",
    "app/study.py": "study",
    "app/task_gradients.py": "freezing trainer",
    "app/timeline.py": "freezing checkpoint",
    "app/two_stage.py": "two_stage",
    "autograd/activations.py": "ops ops_torch plain extremes",
    "autograd/anomaly.py": "anomaly",
    "autograd/context.py": "context",
    "autograd/engine.py": "autograd properties",
    "autograd/erf.py": "ops extremes",
    "autograd/functional.py": "ops ops_torch plain losses extremes",
    "autograd/profiler.py": "profiler",
    "autograd/rows.py": "optim tensor",
    "autograd/tensor.py": "tensor tensor_torch ops ops_torch properties",
    "data/batches.py": "batches",
    "data/csv_files.py": "reviews",
    "data/labelled.py": "reviews",
    "data/reviews.py": "reviews",
    "data/rules.py": "rules",
    "data/samples.py": "samples",
    "data/split.py": "reviews",
    "data/tables.py": "tables reviews",
    "data/texts.py": "reviews tables",
    "evaluation/attribution.py": "mistakes",
    "evaluation/evaluate.py": "trainer",
    "evaluation/leakage.py": "leakage",
    "evaluation/metrics.py": "metrics",
    "evaluation/retrieval.py": "contrastive",
    "evaluation/statistics.py": "study",
    "learn/cases.py": "ops ops_torch plain",
    "learn/check.py": "check",
    "learn/commands.py": "check lessons labs pages gradcheck",
    "learn/files.py": "check lessons",
    "learn/gradcheck.py": "gradcheck",
    "learn/invariances.py": "invariances",
    "learn/labs.py": "labs",
    "learn/labs_table.py": "labs",
    "learn/lessons.py": "lessons",
    "learn/numeric.py": "gradcheck ops",
    "learn/piece.py": "check",
    "learn/plain.py": "plain check",
    "learn/selfcheck.py": "gradcheck ops",
    "learn/show.py": "pages",
    "learn/swap.py": "check",
    "learn/watch.py": "check",
    "models/architectures.py": "pretrained export",
    "models/config.py": "model pretrained",
    "models/cooccurrence.py": "cooccurrence",
    "models/encoder.py": "model encode pretrained",
    "models/encoding.py": "encode",
    "models/hub.py": "pretrained",
    "models/known_keys.py": "pretrained zoo",
    "models/modules.py": "pretrained export zoo",
    "models/multitask.py": "model",
    "models/pretrained.py": "pretrained export hostile_models fuzz",
    "models/search.py": "search encode",
    "models/task_weights.py": "trainer freezing",
    "models/weights.py": "pretrained hostile_models",
    "nn/attention.py": "layers plain",
    "nn/layers.py": "layers plain",
    "nn/modernbert.py": "modernbert pretrained",
    "nn/module.py": "module",
    "nn/pooling.py": "layers plain extremes",
    "nn/rare.py": "layers ops zoo",
    "nn/position.py": "layers plain",
    "nn/relative.py": "plain pretrained",
    "nn/transformer.py": "layers plain",
    "text/bpe.py": "bpe",
    "text/charsmap.py": "unigram",
    "text/cleaning.py": "wordpiece unigram composing",
    "text/composing.py": "composing",
    "text/explain.py": "bpe",
    "text/load.py": "tokenizer_json tokenizer_directories export",
    "text/offsets.py": "bpe wordpiece",
    "text/pairs.py": "tokenizer_directories",
    "text/spec.py": "tokenizer_json",
    "text/specials.py": "tokenizer_json tokenizer_directories bpe",
    "text/tokenizer.py": "bpe wordpiece",
    "text/tokenizer_json.py": "tokenizer_json",
    "text/truncation.py": "bpe",
    "text/unicode_versions.py": "bpe wordpiece",
    "text/unigram.py": "unigram",
    "text/wordpiece.py": "wordpiece",
    "text/words.py": "bpe",
    "training/average.py": "optim trainer",
    "training/baseline.py": "baseline",
    "training/blocks.py": "optim",
    "training/checkpoint.py": "checkpoint export",
    "training/stacking.py": "answers",
    "training/contrastive.py": "contrastive",
    "training/distillation.py": "pretraining",
    "training/freezing.py": "freezing",
    "training/groups.py": "optim freezing",
    "training/mlm.py": "pretraining",
    "training/optim.py": "optim plain",
    "training/parallel.py": "parallel",
    "training/pretraining.py": "pretraining",
    "training/thawing.py": "freezing",
    "training/schedules.py": "optim",
    "training/simcse.py": "pretraining",
    "training/trainable.py": "freezing",
    "training/trainer.py": "trainer",
    "../README.md": "docs",
    "../tutorials": "lessons labs",
    "../tutorials/capstone.py": "capstone",
    "../docs/build.py": "site",
    "../benchmarks/studies": "studies",
    "../benchmarks/scaling.py": "scaling",
    "../minitx": "imports house long_runs everywhere",
}


def test_every_file_is_tested_and_every_test_file_tests_one():
    rooms = {name for name in SOURCES if name.endswith("/__init__.py")}  # a docstring each, or a name from elsewhere
    assert {name.split("/")[0] for name in rooms if LINES[name]} == {"command", "nn", "sentence_transformers"}
    assert set(SOURCES) - rooms - set(TESTED_BY) == set(), "a file of the package has no test: add it to TESTED_BY"
    assert [name for name in TESTED_BY if not (PACKAGE / name).exists()] == []
    named = {f"test_{name}.py" for names in TESTED_BY.values() for name in names.split()}
    there = {path.name for path in TESTS.glob("test_*.py")}
    assert named - there == set(), "TESTED_BY names a test file that does not exist"
    assert there - named == set(), "a test file is missing from TESTED_BY: which file of the package does it test?"


# -- quick tests -----------------------------------------------------------------------------------------------

QUICK = [
    p for p in sorted(TESTS.glob("test_*.py")) if re.search(r"^pytestmark = .*\bquick\b", p.read_text("utf-8"), re.M)
]
WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None  # `import torch` is an ImportError
import pytest
sys.exit(pytest.main(["-q", "-m", "quick", "-p", "no:cacheprovider", *sys.argv[1:]]))
"""


@pytest.mark.parametrize("path", QUICK, ids=lambda path: path.name)
def test_a_quick_file_imports_neither_torch_nor_its_twins(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
    assert {name.split(".")[0] for name in names} & {"torch", "reference", "checkpoints", "transformers"} == set()


def test_quick_tests_run_where_torch_is_not_installed():
    """A few of them, so that this stays quick itself; the test above sees to the others."""
    files = [str(TESTS / name) for name in ("test_losses.py", "test_plain.py")]
    command = [sys.executable, "-c", WITHOUT_TORCH, *files, "-k", "attention or cross_entropy or row or option"]
    alone = os.environ | {"PYTEST_ADDOPTS": ""}  # no worker processes, which would have torch
    how = {"capture_output": True, "text": True, "timeout": 120, "check": False}
    result = subprocess.run(command, cwd=TESTS.parent, env=alone, **how)
    assert result.returncode == 0, result.stdout + result.stderr
