"""docs/architecture.md against the code: its layers, folders, files, columns, verbs and options are the real ones."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import get_args

import pyarrow.parquet as pq
import pytest

from sweep.cli import VERBS
from sweep.run import parser
from sweep.schedule.scheduler import State
from tests.sweep.support.tiny_grid import tiny_grid
from trainables.specs import Kind

ROOT = Path(__file__).parents[1]
PACKAGES = ("sweep", "trainables", "analysis")
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
FILE_NAME = re.compile(r"[.\w]*\w\.(?:json|jsonl|parquet|yaml|txt|safetensors|pt|lock|arrow|html)")
STAGE_FOLDER = "stages/<kind>-<name>-<key16>"


def section(heading: str) -> str:
    found = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", PAGE, re.S | re.M)
    assert found is not None, heading
    return found[1]


def rows(text: str) -> dict[str, str]:
    """The rows of a table whose first cell is code: its text -> the rest of the row."""
    return dict(re.findall(r"^\| `([^`|]+)` \| (.*) \|$", text, re.M))


def blocks(text: str) -> list[str]:
    return re.findall(r"^```text\n(.*?)^```", text, re.S | re.M)


def documented_files() -> set[str]:
    """The files of the tree in the section on the study folder, with its placeholders."""
    found, above = set(), ""
    for line in blocks(section("The study folder"))[0].splitlines()[1:]:
        indent, name = len(line) - len(line.lstrip()), line.split()[0]
        above = above if indent > 2 else ""
        if name.endswith("/"):
            above = name if indent == 2 else above
            found |= {f"{name}{one}" for one in re.findall(r"NAME\.\w+", line)}
        else:
            found.add(f"{above}{name}")
    return found


@cache
def literals() -> tuple[tuple[str, Path], ...]:
    """Every string in the code of the packages that is the name of a file, with the source file."""
    return tuple(_literals())


def _literals() -> Iterator[tuple[str, Path]]:
    for package in PACKAGES:
        for file in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    name = node.value.rpartition("/")[2]
                    if FILE_NAME.fullmatch(name) and " " not in node.value and "~" not in node.value:
                        yield name, file


def test_its_layers_are_those_that_are_checked() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    checked = {
        contract.get("containers", ["packages"])[0]: " > ".join(contract["layers"])
        for contract in contracts
        if contract["type"] == "layers"
    }
    lines = blocks(section("Packages and layers"))[0].splitlines()
    assert dict(re.split(" +", line, maxsplit=1) for line in lines) == checked


def test_the_picture_shows_every_layer() -> None:
    picture = section("Packages and layers").partition("```mermaid")[2].partition("```")[0]
    lines = blocks(section("Packages and layers"))[0].splitlines()
    named = {name for line in lines if "." not in line.split()[0] for name in re.findall(r"\w+", line)[1:]}
    assert not {name for name in named if not re.search(rf"\b{name}\b", picture)}


def test_every_folder_is_named_and_every_name_is_one() -> None:
    folders = {
        file.parent.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for file in (ROOT / package).rglob("*")
        if file.is_file() and "__pycache__" not in file.parts and file.suffix != ".pyc"
    }
    assert set(rows(section("Folders"))) == folders


def test_every_path_in_it_is_there() -> None:
    named = re.findall(r"`((?:sweep|trainables|analysis|tests|benchmarks)/[\w./]+)`", PAGE)
    assert len(named) > 40
    assert not [path for path in named if not (ROOT / path).exists()]


def test_links_lead_somewhere() -> None:
    for page in [*(ROOT / "docs").glob("*.md"), ROOT / "README.md"]:
        for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
            if "://" in target:
                continue
            path, _, anchor = target.partition("#")
            other = (page.parent / path).resolve() if path else page
            assert other.exists(), f"{page.name}: {target}"
            if anchor:
                headings = re.findall(r"^#+ (.*)$", other.read_text(encoding="utf-8"), re.M)
                assert anchor in {re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in headings}, target


def test_a_file_of_the_study_folder_is_one_that_the_code_names() -> None:
    written = {name for name, _ in literals()} | {"<digest>.parquet"}
    named = {file.rpartition("/")[2] for file in documented_files() if "NAME" not in file}
    assert len(named) > 15
    assert not named - written


def test_every_file_that_the_code_names_is_on_the_page() -> None:
    for name, source in literals():
        ships = (source.parent / name).exists()  # data of the package itself
        assert ships or re.search(rf"(?<![\w.]){re.escape(name)}(?!\w)", PAGE), f"{name} in {source}"


def test_kinds_and_states_are_those_of_the_code() -> None:
    words = section("Words")
    assert set(re.findall(r"`(\w+)`", rows_of(words, "stage"))) == set(get_args(Kind))
    states = words.partition("in one of these states:")[2].partition("`--plan`")[0]
    assert set(re.findall(r"`(\w+)`", states)) == set(get_args(State))


def rows_of(text: str, word: str) -> str:
    found = re.search(rf"^\| {word} \| (.*) \|$", text, re.M)
    assert found is not None
    return found[1]


def test_the_verbs_are_those_of_the_command() -> None:
    documented = {verb: re.findall(r"`([^`]*)`", rest)[0] for verb, rest in rows(section("The command line")).items()}
    assert documented == {name: " ".join(["python -m", verb.module, *verb.arguments]) for name, verb in VERBS.items()}


def test_the_options_of_a_run_are_those_of_its_parser() -> None:
    usage = blocks(section("The command line"))[0].partition("python -m sweep.status")[0]
    options = {option for action in parser()._actions for option in action.option_strings} - {"-h", "--help"}
    assert set(re.findall(r"--[\w-]+", usage)) == options


def test_reserved_names_are_not_in_use() -> None:
    reserved = set(re.findall(r"`([\w.-]+)`", section("Reserved names")))
    assert {"watch", "rung", "pruned"} <= reserved
    assert not reserved & {*VERBS, *get_args(Kind), *get_args(State)}
    modules = {name.replace(".", "/") for name in reserved if "." in name}
    assert not [module for module in modules if (ROOT / f"{module}.py").exists()]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study with stages of all kinds, run by the command."""
    folder = tmp_path_factory.mktemp("contract")
    grid = tiny_grid(images=12, pretrain_epochs=1, finetune_epochs=1).replace(
        "learning_rate: [0.02, 0.05]", "learning_rate: {range_test: {steps: 10, fallback: 0.02}}"
    )
    (folder / "tiny.yaml").write_text(grid)
    command = [sys.executable, "-m", "sweep.run", "--grid", "tiny.yaml", "--wandb", "off"]
    done = subprocess.run(
        command, cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "studies" / "tiny"


def documented_name(file: Path, study: Path) -> str:
    """The name of a file of a study as the page writes it."""
    name = file.relative_to(study).as_posix()
    name = re.sub(r"^splits/[0-9a-f]{64}\.", "splits/<digest>.", name)
    name = re.sub(r"^stages/\w+-.+-[0-9a-f]{16}/", f"{STAGE_FOLDER}/", name)
    return re.sub(r"^(report/(?:tables|figures))/.*\.", r"\1/NAME.", name)


@pytest.mark.slow
def test_a_real_study_has_the_documented_files_columns_and_fields(study: Path) -> None:
    files: dict[str, list[Path]] = {}
    for file in study.rglob("*"):
        if file.is_file():
            files.setdefault(documented_name(file, study), []).append(file)
    assert not files.keys() - documented_files()
    assert {"study.json", f"{STAGE_FOLDER}/curve.parquet", "splits/<digest>.parquet"} <= files.keys()
    tables = rows(section("The study folder"))
    checked = 0
    for name, found in files.items():
        row = tables.get(name) or tables.get(name.rpartition("/")[2])
        if row is None or not name.endswith((".parquet", ".json")):
            continue
        documented = re.findall(r"`([^`]+)`", re.sub(r"\([^)]*\)", "", row))
        for file in found:
            columns = pq.read_schema(file).names if file.suffix == ".parquet" else list(json.loads(file.read_text()))
            assert set(columns) <= set(documented), file
            assert set(documented) - set(columns) <= {"choice", "origin"}, file
        checked += 1
    assert checked >= 9
