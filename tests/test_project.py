"""The project's own rules: layers, circles, sizes, names, and that the README tells the truth."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tempfile
import tomllib
from collections import Counter
from collections.abc import Mapping
from graphlib import TopologicalSorter
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from sweep.grid.loader import load_grid

ROOT = Path(__file__).parents[1]
PACKAGES = ("sweep", "trainables", "analysis")
SOURCES = sorted(file for package in PACKAGES for file in (ROOT / package).rglob("*.py"))


def name(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


def imported(file: Path) -> set[str]:
    """The top-level packages that a file imports, wherever in it."""
    modules = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            modules |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules.add(node.module.partition(".")[0])
    return modules


def test_layers_are_kept() -> None:
    """The contracts stand in pyproject.toml; ``lint-imports`` is the command of import-linter."""
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


def graph(nodes: Mapping[str, str]) -> dict[str, set[str]]:
    """Which of ``nodes`` (module -> name) imports which: of files, or of the folders they lie in."""
    found: dict[str, set[str]] = {node: set() for node in nodes.values()}
    for module, node in nodes.items():
        file = FILES[module]
        for statement in ast.walk(ast.parse(file.read_text())):
            if isinstance(statement, ast.ImportFrom) and statement.module:
                named = [f"{statement.module}.{alias.name}" for alias in statement.names]
            elif isinstance(statement, ast.Import):
                named = [alias.name for alias in statement.names]
            else:
                continue
            for name_ in named:
                for target in (name_, name_.rpartition(".")[0]):
                    # a script of benchmarks names its neighbours without the folder
                    other = nodes.get(target) or nodes.get(f"benchmarks.{target}")
                    if other is not None:
                        found[node] |= {other} - {node}
                        break
    return found


FILES = {
    ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file
    for package in (*PACKAGES, "benchmarks")
    for file in (ROOT / package).rglob("*.py")
}


@pytest.mark.parametrize("of", ["files", "rooms"])
def test_no_imports_go_in_circles(of: str) -> None:
    """``TopologicalSorter`` raises CycleError, which names the circle."""
    names = {module: module if of == "files" else str(file.parent) for module, file in FILES.items()}
    TopologicalSorter(graph(names)).prepare()


def test_no_folder_is_crowded_and_no_file_long() -> None:
    for top in (*PACKAGES, "benchmarks", "tests"):
        for folder in (ROOT / top, *(ROOT / top).rglob("*/")):
            files = [f for f in folder.iterdir() if f.is_file()] if folder.name != "__pycache__" else []
            assert len([f for f in files if f.name != "__init__.py"]) <= 15, folder
            assert not [f for f in files if f.suffix == ".py" and len(f.read_text().splitlines()) > 340]


def test_no_class_name_stands_for_two_things() -> None:
    names = Counter(
        node.name
        for file in FILES.values()
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )
    assert not [name_ for name_, count in names.items() if count > 1]


def test_all_that_is_imported_is_installed_with_the_project() -> None:
    """Without what only the tests install. What a cluster file alone needs is an extra, and asked for by name."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = [*project["dependencies"], *project["optional-dependencies"]["cluster"]]
    installed = {re.split(r"[\[<>=]", line)[0] for line in lines}
    foreign = {module for file in SOURCES for module in imported(file)} - sys.stdlib_module_names - set(PACKAGES)
    providers = packages_distributions()
    assert not {module for module in foreign if not {d.lower() for d in providers.get(module, [])} & installed}


@pytest.mark.parametrize("file", SOURCES, ids=name)
def test_functions_stay_small(file: Path) -> None:
    functions = (node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.FunctionDef))
    long = [node.name for node in functions if (node.end_lineno or 0) - node.lineno + 1 > 60]
    assert not long


def test_the_quick_start_is_two_command_lines() -> None:
    section = re.search(r"^## Quick start\s*$(.*?)(?=^## |\Z)", (ROOT / "README.md").read_text(), re.S | re.M)
    assert section is not None
    blocks = re.findall(r"^```sh\s*$(.*?)^```", section.group(1), re.S | re.M)
    assert len(blocks) == 2
    assert all(len(block.strip().splitlines()) == 1 for block in blocks)
    assert "--grid smoke" in blocks[0]
    assert "pytest" in blocks[1]


def test_the_readme_names_only_files_that_are_there() -> None:
    text = (ROOT / "README.md").read_text()
    named = set(re.findall(r"`((?:sweep|trainables|analysis|tests)/[\w./]*)`", text))
    assert len(named) > 8
    assert not [path for path in named if not (ROOT / path).exists()]


def test_the_grid_in_the_readme_is_one() -> None:
    blocks = re.findall(r"^```yaml\n(.*?)^```", (ROOT / "README.md").read_text(), re.S | re.M)
    whole = [block for block in blocks if block.startswith("target:")]
    assert len(whole) == 1
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "grid.yaml")
        file.write_text(whole[0])
        grid = load_grid(str(file))
    assert list(grid.scenarios) == ["Random", "ImageNet", "PCam", "ImageNet+CD"]


PRIVATE = re.compile(r"^(?!sweep|trainables|analysis)\w+(\.\w+)*\._[a-z]|^(wandb\.(proto|sdk)|ray\.core\.generated)\b")


@pytest.mark.parametrize("file", [file for file in SOURCES if file.parent.name != "compat"], ids=name)
def test_private_parts_of_dependencies_are_reached_through_compat_alone(file: Path) -> None:
    """As far as names tell: imports, names of modules in strings, and attributes that this file does not define itself."""
    nodes = list(ast.walk(ast.parse(file.read_text())))
    named = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    named += [f"{n.module}.{alias.name}" for n in nodes if isinstance(n, ast.ImportFrom) for alias in n.names]
    named += [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    own = {node.name for node in nodes if isinstance(node, ast.FunctionDef)}
    own |= {node.target.id for node in nodes if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)}
    attributes = [node for node in nodes if isinstance(node, ast.Attribute) and re.match("_[^_]", node.attr)]
    own |= {n.attr for n in attributes if isinstance(n.ctx, ast.Store) and ast.unparse(n.value) == "self"}
    reached = [ast.unparse(node) for node in attributes if node.attr not in own]
    found = [text for text in [*named, *reached] if text != "os._exit" and (text in reached or PRIVATE.match(text))]
    assert not found, f"move what uses {found} to sweep/compat or trainables/compat, with a test"
