"""Entries of the registries: built-ins by scanning, those of other distributions by their metadata."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from analysis.explain.checks.registry import CHECKS
from analysis.explain.methods.registry import METHODS
from analysis.figures.registry import FIGURES
from analysis.page.build import build
from analysis.report import main
from analysis.tables.registry import TABLES
from trainables.registry import _published

MODULE = '''
"""A toy distribution with a table and a figure."""
from analysis.figures.drawing.figure import Figure
from analysis.figures.drawing.shapes import Drawing, Text
from analysis.figures.registry import FigureSet
from analysis.formats.table import Column, Row, Table
from analysis.registry.report_entry import report_entry

@report_entry("classes", place=15)
def support(data):
    rows = tuple(Row({"row": row.title, "images": int(row.support.sum())}) for row in data.rows)
    return Table("Support", (Column("row", "Row"), Column("images", "Images", "count")), rows)

@report_entry("classes", place=1)
def words(data):
    return FigureSet((Figure("classes-f1", Drawing(50, 20, "Words", "words", (Text(2, 10, "toy"),)), "Words."),))

@report_entry("classes")
def broken(data):
    return 1 / 0

@report_entry("clases")
def lost(data): ...

@report_entry("classes")
def nothing(data):
    return "a table"

@report_entry("explanations")
def absent(data):
    return None

bare = len
'''
Publish = Callable[..., None]


@pytest.fixture
def publish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Publish]:
    """Return a function that installs a distribution with entry points, for the duration of a test."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "toy_report", raising=False)
    _published.cache_clear()  # entry points are read once a process

    def install(name: str = "toy-report", **groups: str) -> None:
        (tmp_path / "toy_report.py").write_text(MODULE)
        info = tmp_path / f"{name.replace('-', '_')}-1.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
        lines = (f"[scenario_sweep.{kind}]\n{points}\n" for kind, points in groups.items())
        (info / "entry_points.txt").write_text("\n".join(lines))

    yield install
    _published.cache_clear()


def test_built_ins_are_found_in_the_files_of_their_package() -> None:
    assert {"scores", "per_class", "runs", "comparisons", "cost", "published", "learning_rates"} <= {*TABLES.names()}
    assert FIGURES.names() == ["classes-f1", "confusion", "curves", "differences", "range", "reliability"]
    assert METHODS.names() == ["Grad-CAM", "Grad-CAM++"]
    assert CHECKS.names() == ["deletion and insertion", "mask overlap", "sanity check"]


def test_a_foreign_table_and_figure_stand_in_their_section_with_their_origin(small: Any, publish: Publish) -> None:
    publish(tables="support = toy_report:support", figures="words = toy_report:words")
    report = build(small.study)
    (section,) = (one for one in report.content.sections if one.name == "classes")
    assert [table.name for table in section.tables] == ["per_class", "support", "f1_mcc"]
    assert section.tables[1].footnotes[-1].text == "From toy-report 1.2, not part of this package."
    # its figure has the name of another and must not replace it
    assert [figure.name for figure in section.figures] == ["classes-f1-2", "classes-f1"]
    assert section.figures[0].caption == "Words. From toy-report 1.2, not part of this package."
    page = (small.root / "report/index.html").read_text()
    assert page.count("From toy-report 1.2") == 2
    lines = (small.root / "report/tables/support.csv").read_text().splitlines()
    assert lines[:2] == ["row,images", '"resnet18, Random",144']


def test_names_come_from_the_metadata_alone(publish: Publish) -> None:
    publish(tables="support = toy_report:support")
    assert "support" in TABLES.names()
    assert TABLES.origin("support") == "toy-report 1.2"
    assert TABLES.origin("scores") == ""
    assert "toy_report" not in sys.modules


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("toy_report:broken", "ZeroDivisionError: division by zero"),
        ("toy_report:lost", "the page has no section clases; did you mean classes"),
        ("toy_report:nothing", "expected Table, found str"),
        ("toy_report:bare", "expected a function with the decorator"),
        ("toy_report:gone", "cannot be imported from toy_report:gone: AttributeError"),
        ("no_such_module:gone", "cannot be imported from no_such_module:gone: ModuleNotFoundError"),
    ],
)
def test_a_fault_of_a_foreign_entry_is_named_and_does_not_cost_the_report(
    small: Any, publish: Publish, target: str, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = build(small.study).content
    _published.cache_clear()
    publish(tables=f"extra = {target}")
    assert main([str(small.root)]) == 0
    error = capsys.readouterr().err
    assert "table: extra of toy-report 1.2 is left out: " in error
    assert reason in error
    page = (small.root / "report/index.html").read_text()
    assert "extra of toy-report 1.2 is left out" in page
    after = build(small.study).content
    assert [table.name for table in after.tables] == [table.name for table in before.tables]


def test_a_foreign_figure_that_is_none_is_left_out(small: Any, publish: Publish) -> None:
    publish(figures="extra = toy_report:support", tables="more = toy_report:absent")
    content = build(small.study).content
    assert content.faults == ("figure: extra of toy-report 1.2 is left out: expected FigureSet, found Table",)
    assert "more" not in [table.name for table in content.tables]


def test_a_name_that_is_taken_is_left_out_and_the_project_keeps_its_own(
    small: Any, publish: Publish, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run that has trained for days must end with its table of scores, whatever is installed."""
    publish(tables="scores = toy_report:support")
    assert main([str(small.root)]) == 0
    error = capsys.readouterr().err
    assert "scores is left out: the table scores is published by this project and toy-report 1.2" in error
    assert build(small.study).scores.name == "scores"


def test_an_entry_that_ends_the_process_is_left_out(small: Any, publish: Publish, tmp_path: Path) -> None:
    (tmp_path / "leaving.py").write_text("import sys\nsys.exit(7)\n")
    publish(tables="leaver = leaving:table")
    (fault,) = build(small.study).content.faults
    assert "leaver of toy-report 1.2 is left out" in fault
    assert "SystemExit: 7" in fault
