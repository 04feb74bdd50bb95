"""The files for people who join or cite the project agree with each other and with the code."""

from __future__ import annotations

import hashlib
import os
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
APACHE_2_0 = "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30"
"""SHA-256 of https://www.apache.org/licenses/LICENSE-2.0.txt."""


def project() -> dict[str, Any]:
    return dict(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"])


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_the_licence_is_the_official_text_and_named_everywhere() -> None:
    assert hashlib.sha256((ROOT / "LICENSE").read_bytes()).hexdigest() == APACHE_2_0
    assert project()["license"] == yaml.safe_load(read("CITATION.cff"))["license"] == "Apache-2.0"


def test_the_version_is_one() -> None:
    releases = re.findall(r"^## \[(\d[^\]]*)\]", read("CHANGELOG.md"), re.M)
    assert project()["version"] == yaml.safe_load(read("CITATION.cff"))["version"] == releases[0]


def test_the_cited_study_is_the_one_of_the_readme() -> None:
    [reference] = yaml.safe_load(read("CITATION.cff"))["references"]
    start = " ".join(read("README.md").partition("## ")[0].split())
    assert f"*{reference['title']}* ({reference['journal']}, {reference['year']})" in start


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "SECURITY.md", "README.md", "CHANGELOG.md"])
def test_paths_and_commands_that_a_page_names_are_there(page: str) -> None:
    names = re.findall(r"`((?:sweep|trainables|analysis|tests|docs|clusters|benchmarks)/[\w./]*)`", read(page))
    commands = re.findall(r"`(\.ci/\w+)", read(page))
    assert not [name for name in (*names, *commands) if not (ROOT / name).exists()]
    assert all(os.access(ROOT / command, os.X_OK) for command in commands)


def test_every_script_of_ci_is_described() -> None:
    scripts = {f".ci/{file.name}" for file in (ROOT / ".ci").iterdir() if file.is_file() and not file.suffix}
    assert scripts == set(re.findall(r"^\| `(\.ci/\w+)` \|", read("CONTRIBUTING.md"), re.M))
    assert scripts == set(re.findall(r"\.ci/\w+", read(".ci/lint").rpartition("shellcheck")[2]))


def test_the_hooks_are_the_static_checks_and_the_workflow_runs_everything() -> None:
    [local] = yaml.safe_load(read(".pre-commit-config.yaml"))["repos"]
    assert local["repo"] == "local"
    hooks = {hook["entry"].split()[0] for hook in local["hooks"]}
    assert hooks == set(re.findall(r'"\$bin/([\w-]+)"', read(".ci/lint"))) - {"shellcheck"}
    jobs = yaml.safe_load(read(".github/workflows/ci.yml"))["jobs"]
    assert ".ci/run" in [step.get("run") for job in jobs.values() for step in job["steps"]]


def test_what_is_to_be_added_is_added_as_the_guide_says() -> None:
    """The decorator of each row stands in the file that the row starts from."""
    table = re.findall(r"^\| .* \| `([^`]+)` \| `@?([\w.]+)[^|]*\| `([^`]+)`", read("CONTRIBUTING.md"), re.M)
    assert len(table) >= 11
    for folder, decorator, example in table:
        text = read(example if "/" in example else folder)
        assert decorator.partition("(")[0] in text
        assert "/" in example or example in text


def test_issue_templates_are_forms() -> None:
    for name in ("bug", "question"):
        form = yaml.safe_load(read(f".github/ISSUE_TEMPLATE/{name}.yml"))
        assert {"name", "description", "body"} <= form.keys()
        asked = [part["id"] for part in form["body"] if part["type"] != "markdown"]
        assert len(asked) == len(set(asked)) >= 2
