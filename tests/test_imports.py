"""Imports run one way, between rooms and between files, and `import minitx` stays light."""

import ast
import graphlib
import subprocess
import sys
import zipfile
from pathlib import Path

import minitx_command
import pytest
from hatchling.builders.wheel import WheelBuilder

import minitx

PACKAGE = Path(minitx.__file__).parent
# Each room may import from itself and from rooms before it. `__init__` re-exports what users import, from any of them.
ROOMS = (
    *("terminal", "errors", "system", "writing", "text", "data", "autograd", "nn", "models", "evaluation", "training"),
    *("app", "learn", "sentence_transformers", "sklearn", "command", "__init__", "__main__"),
)
FILES = sorted(PACKAGE.rglob("*.py"))
IMPORTERS = ("import_module", "__import__", "run_module", "run_path")


def room(path: Path) -> str:
    top = path.relative_to(PACKAGE).parts[0]
    return top.removesuffix(".py")


def imported(tree: ast.Module) -> set[str]:
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
    return names


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_one_way(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for name in imported(tree):
        if name.split(".")[0] != "minitx":
            continue
        parts = name.split(".")
        assert len(parts) > 1, "no `import minitx` within the package: name the room"
        allowed = ROOMS[: ROOMS.index(room(path)) + 1]
        assert parts[1] in allowed, f"{path.relative_to(PACKAGE)} may not import {name}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_import_is_hidden_in_a_function_or_behind_a_type_check(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    top = {node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)}
    assert all(node in top for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom))


def files_imported(path: Path) -> set[Path]:
    """Files of the package that a file imports: `from minitx.a import b` is a/b.py if there is one, else a.py."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("minitx."):
            module = PACKAGE.joinpath(*node.module.split(".")[1:])
            submodules = [module / f"{alias.name}.py" for alias in node.names]
            found |= {file if file.exists() else module.with_suffix(".py") for file in submodules}
    return found


def test_no_file_imports_itself_by_way_of_others():
    graph = {path: files_imported(path) for path in FILES}
    assert sum(map(len, graph.values())) > len(FILES)
    assert {file for files in graph.values() for file in files} <= set(FILES)
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        pytest.fail(" -> ".join(str(path.relative_to(PACKAGE)) for path in error.args[1]))


def test_imports_at_run_time_are_few_and_the_command_line_alone_calls_up_to_learn():
    """`import_module` would get around the rooms, so that each use of it is named here."""
    found = {}
    for path in FILES:
        calls = [node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Call)]
        names = [ast.unparse(call.args[0]) for call in calls if ast.unparse(call.func).endswith(IMPORTERS)]
        found |= {str(path.relative_to(PACKAGE)): names} if names else {}
    assert found == {
        "command/__init__.py": ["'minitx.app.cli'"],  # a package of its own, see pyproject.toml
        "app/parts.py": ["'distributed'"],
        "app/cli.py": ["'minitx.learn.commands'", "'shtab'"],
        "data/tables.py": ["module"],  # pyarrow or openpyxl
        "models/multitask.py": ["'minitx.training.checkpoint'"] * 2,  # which writes and reads for it
        "learn/selfcheck.py": ["path"],  # the learner's own module
        "models/hub.py": ["'huggingface_hub'"],
        "training/ranks.py": ["'mpi4py.MPI'"],  # which makes the process one of MPI's
    }


def test_the_text_and_data_rooms_know_no_tensor():
    for path in FILES:
        if room(path) in ("text", "data"):
            assert not any(name.startswith("minitx.autograd") for name in imported(ast.parse(path.read_text("utf-8"))))


def test_import_minitx_loads_neither_pandas_nor_matplotlib_nor_torch():
    code = "import sys, minitx; print(sorted({'pandas', 'matplotlib', 'torch', 'tokenizers'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_a_folder_named_minitx_does_not_hide_the_package(tmp_path):
    """As the one that holds the clone would, if an editable installation were found by an import hook."""
    (tmp_path / "minitx").mkdir()
    code = "from minitx import Tensor; import minitx_command"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert (found.returncode, found.stderr) == (0, "")


def test_a_wheel_holds_every_file_of_the_package_the_course_and_the_command(tmp_path):
    root = PACKAGE.parent
    if not (root / ".git").exists():
        pytest.skip("which files are the project's is known in a clone")
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "minitx", "tutorials"]
    listed_files = subprocess.run(listed, cwd=root, capture_output=True, text=True, check=True).stdout.splitlines()
    files = [name for name in listed_files if (root / name).exists()]  # not those that were just deleted
    (wheel,) = WheelBuilder(str(root)).build(directory=str(tmp_path), versions=["standard"])
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    moved = {"tutorials/": "minitx/course/", "minitx/command/": "minitx_command/"}
    assert held == {next((to + f.removeprefix(of) for of, to in moved.items() if f.startswith(of)), f) for f in files}


def test_the_installed_command_is_the_one_that_is_here():
    """An editable installation holds a copy of it: `pip install -e .` again after a change of it."""
    assert Path(minitx_command.__file__).read_bytes() == (PACKAGE / "command" / "__init__.py").read_bytes()


def test_public_names_exist():
    """What `__init__` says twice, `X as X`, is public: type checkers see no other name."""
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    names = [(alias.name, alias.asname) for node in tree.body[1:] for alias in node.names]
    assert len(names) > 20
    assert all(name == public and hasattr(minitx, name) for name, public in names)
