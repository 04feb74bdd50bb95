"""The page and the command."""

from __future__ import annotations

import base64
import hashlib
import html
import itertools
import re
import subprocess
import sys
import time
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from analysis.page.build import build
from analysis.report import main
from tests.analysis.support import rich_study
from trainables.store.study import Study

ROOT = Path(__file__).parents[2]
VOID = {"meta", "link", "br", "hr", "img", "input"}
DRAWN = {"polyline", "rect", "circle", "polygon"}
EVIL = "<script>alert(1)</script>"


class Page(HTMLParser):
    """Checks that elements nest, and gathers text, tags and addresses."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.addresses: list[str] = []
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in VOID | DRAWN:
            self.open.append(tag)
        self.attributes |= {name for name, _ in attrs}
        self.ids += [value or "" for name, value in attrs if name == "id"]
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "data", "action")]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def page_of(small: Any) -> Page:
    return Page((small.root / "report" / "index.html").read_text())


def test_page_is_whole_and_self_contained(small: Any) -> None:
    report = build(small.study)
    assert report.index_path == str(small.root / "report" / "index.html")
    page = page_of(small)
    assert page.tags.count("script") == 1
    assert not [address for address in page.addresses if "://" in address or address.startswith("//")]
    for address in page.addresses:
        if address.startswith("#"):
            assert address[1:] in page.ids
        elif address.startswith("data:"):
            continue
        else:
            assert (small.root / "report" / address).is_file()
    whole = [table for table in report.content.tables if not table.page_by]
    pieces = [piece for table in report.content.tables if table.page_by for piece in table.pieces()]
    assert len(pieces) == 4 * 4
    assert page.tags.count("table") == page.tags.count("caption") == len(whole) + len(pieces)
    for expected in (
        "All 24 cells are done",
        "MON/9.jpg",
        "undecodable",
        "Nothing: every planned cell counts",
        "sgd",
    ):
        assert expected in page.text


def test_page_escapes_labels_everywhere(small: Any) -> None:
    def rename(plan: dict[str, Any]) -> None:
        plan["axes"]["scenario"] = [EVIL, "PCam"]
        for entry in plan["stages"]:
            if entry["scenario"] == "Random":
                entry["scenario"] = EVIL

    small.edit("plan.json", rename)
    small.fail("resnet18-Random-f0-r0.02", EVIL, EVIL)
    report = build(small.study)
    page = page_of(small)
    assert page.tags.count("script") == 1
    assert f"failed: {EVIL}: {EVIL}" in page.text
    assert report.scores.rows[0].values["scenario"] == EVIL


def test_the_page_comes_in_the_order_of_reading(small: Any) -> None:
    build(small.study)
    text = (small.root / "report" / "index.html").read_text()
    order = (
        *("question", "answer", "comparisons", "classes", "curves", "rates", "confusion", "calibration"),
        *("explanations", "methods", "cost", "missing", "problems", "runs", "files"),
    )
    places = [text.index(f'<section id="{name}"') for name in order]
    assert places == sorted(places)
    assert text.count("<section id=") == len(order)
    levels = [int(level) for level in re.findall(r"<h([1-6])", text)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))


def test_the_policy_allows_these_very_styles_and_scripts_and_no_others(small: Any) -> None:
    build(small.study)
    text = (small.root / "report" / "index.html").read_text()
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy is not None
    allowed = html.unescape(policy.group(1))
    assert allowed.startswith("default-src 'none'; ")
    assert "unsafe" not in allowed
    for tag in ("style", "script"):
        (content,) = re.findall(f"<{tag}>(.*?)</{tag}>", text, re.S)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in allowed
    # Attributes of style would be refused by it, silently.
    assert " style=" not in text


def test_markup_in_names_and_errors_stays_text(hostile: Any) -> None:
    rich_study.enrich(hostile)
    report = build(hostile.study)
    assert len(report.left_out) == 1
    page = page_of(hostile)
    assert page.tags.count("script") == 1
    assert page.tags.count("b") == 1  # the target's name, which the page itself makes bold
    assert page.tags.count("img") == len(hostile.plan["classes"])
    assert not [name for name in page.attributes if name.startswith("on")]
    for name in hostile.plan["classes"]:
        assert name in page.text
    for file in (hostile.root / "report/figures").glob("*-*.svg"):
        ElementTree.fromstring(file.read_text())  # noqa: S314 - our own


def test_page_names_what_is_missing(small: Any) -> None:
    small.edit_result("resnet18-Random-f0-r0.02", selected_on="test f1_macro")
    small.fail("vit_b_32-PCam-f0-r0.02", "ValueError", "too hot")
    (small.folder("vit_b_32-PCam-f1-r0.02") / "predictions.parquet").write_bytes(b"torn")
    report = build(small.study)
    text = page_of(small).text
    for out in report.left_out:
        assert f"{out.name}: {out.reason}" in text
    assert "21 of 24 cells are done and verified; 2 refused, 1 failed." in text


def test_mixed_environments_are_said(small: Any) -> None:
    build(small.study)
    assert "mixed" not in page_of(small).text
    small.edit_result("resnet18-Random-f0-r0.02", environment={"device": "cuda", "node": "n2"})
    build(small.study)
    assert "cpu (23 cells), cuda (1 cells)" in page_of(small).text
    assert "mixed" in page_of(small).text


def test_page_of_a_study_not_begun_and_without_split(small: Any) -> None:
    (small.root / "stages").rename(small.root / "gone")
    for file in (small.root / "splits").iterdir():
        file.unlink()
    (small.root / "data_problems.parquet").unlink()
    build(small.study)
    text = page_of(small).text
    assert "0 of 24 cells are done and verified; 24 not run." in text
    assert "cannot be read" in text


def test_building_twice_gives_the_same_bytes(small: Any) -> None:
    report = build(small.study)
    files = sorted(path for path in (small.root / "report").rglob("*") if path.is_file())
    before = [path.read_bytes() for path in files]
    build(small.study)
    assert [path.read_bytes() for path in files] == before
    assert len(files) == 1 + 3 * len(report.content.tables) + len(report.content.figures)


def test_a_study_behind_a_uri(small: Any) -> None:
    """A file: URI is the folder it names."""
    report = build(Study.open(f"file://{small.root}"))
    assert report.index_path == str(small.root / "report/index.html")
    assert not report.left_out
    assert page_of(small).tags.count("table") > 20


def test_command_prints_the_table_and_the_path(small: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(small.root)]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[0].startswith("Architecture")
    assert "vit_b_32" in out
    assert out.endswith(f"report: {small.root / 'report' / 'index.html'}\n")


def test_command_on_no_study(tmp_path: Path) -> None:
    done = run(str(tmp_path))
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: no study at {tmp_path}")
    assert "Traceback" not in done.stderr


def test_command_on_a_study_without_a_plan(small: Any, capsys: pytest.CaptureFixture[str]) -> None:
    (small.root / "plan.json").unlink()
    assert main([str(small.root)]) == 2
    assert "plan.json is missing" in capsys.readouterr().err


def test_heavy_libraries_are_never_imported(small: Any) -> None:
    code = (
        "import sys; from analysis.report import main; main([sys.argv[1]]); "
        "print([name for name in ('torch', 'ray', 'pandas', 'matplotlib', 'wandb') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(small.root)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_pdf_only_where_it_is_asked_for(small: Any) -> None:
    assert main([str(small.root)]) == 0
    figures = small.root / "report" / "figures"
    names = {path.stem for path in figures.glob("*.svg")}
    assert {"classes-f1", "confusion-resnet18-Random", "reliability-vit_b_32-PCam"} <= names
    assert not list(figures.glob("*.pdf"))
    assert main([str(small.root), "--pdf"]) == 0
    assert {path.stem for path in figures.glob("*.pdf")} == names
    assert all(path.read_bytes().startswith(b"%PDF-") for path in figures.glob("*.pdf"))


def test_help_is_fast() -> None:
    times = []
    for _ in range(3):
        start = time.perf_counter()
        assert run("--help").returncode == 0
        times.append(time.perf_counter() - start)
    assert min(times) < 0.5


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "analysis.report", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
