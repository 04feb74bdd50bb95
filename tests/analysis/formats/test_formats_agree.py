"""CSV, Markdown, LaTeX and HTML of every table hold the same figures: all four are parsed and compared."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

import pytest

from analysis.formats.latex import latex
from analysis.formats.markdown import markdown
from analysis.formats.table import Table
from analysis.page.build import build
from analysis.page.templating import engine

Cells = list[list[str]]


def html(table: Table) -> str:
    return str(engine().get_template("table.html.j2").module.whole(table))  # type: ignore[attr-defined]


def from_markdown(text: str) -> Cells:
    lines = [line for line in text.splitlines() if line.startswith("| ")][2:]
    return [[plain(cell) for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def from_latex(text: str) -> Cells:
    body = text.split(r"\endfoot" if "longtable}" in text else r"\midrule", 1)[1]
    body = re.split(r"\\bottomrule|\\end\{longtable\}", body)[0]
    rows = [line.removesuffix(r" \\") for line in body.strip().splitlines()]
    return [[plain(untex(cell)) for cell in re.split(r"(?<!\\)&", row)] for row in rows]


def untex(cell: str) -> str:
    cell = re.sub(r"\\textsuperscript\{[^}]*\}", "", cell)
    cell = cell.replace(r"\mbox{--}", "–").replace(r"\pm", "±").replace(r"\textless{}", "<").replace("--", "–")
    cell = re.sub(r"\\mathbf\{(.*)\}", r"\1", cell.replace("$", ""))
    return re.sub(r"\\([_&%#{}])", r"\1", cell)


def plain(cell: str) -> str:
    cell = re.sub(r"<sup>[^<]*</sup>", "", cell).replace("**", "").replace("&amp;", "&")
    return re.sub(r"\\(.)", r"\1", cell).strip()


class Html(HTMLParser):
    """Gathers the cells of table bodies."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows: Cells = []
        self.inside: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.inside.append(tag)
        if tag == "tr" and "tbody" in self.inside:
            self.rows.append([])
        elif tag in ("td", "th") and "tbody" in self.inside:
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        while self.inside.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if "tbody" in self.inside and {"td", "th"} & set(self.inside) and "sup" not in self.inside:
            self.rows[-1][-1] += data


def expected(table: Table, without: tuple[str, ...] = ()) -> Iterator[list[list[str]]]:
    """Yield, of each row of the CSV file, the raw values of each column that people see."""
    for row in csv.DictReader(io.StringIO(table.to_csv())):
        yield [[row[key] for key in column.keys] for column in table.columns if column.key not in without]


def agree(shown: str, raw: list[str]) -> bool:
    """Say whether a shown cell holds the raw values: text alike, numbers rounded to the digits shown."""
    if raw[0] == "":
        return shown == "–"
    parts = [part.strip() for part in shown.split("±")]
    return len(parts) == len(raw) and all(map(agrees, parts, raw))


def agrees(shown: str, raw: str) -> bool:
    if shown == " ".join(raw.split()) or (raw == "" and shown == "–"):
        return True
    try:
        if shown.startswith("<"):
            return float(raw) < float(shown[1:])
        digits = len(shown.partition(".")[2]) if "e" not in shown else 99
        return abs(float(shown) - float(raw)) <= 0.5 * 10**-digits + 1e-12
    except ValueError:
        return False


@pytest.fixture(scope="module")
def tables(finished: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Table, ...]:
    import shutil
    from pathlib import Path

    from trainables.store.study import Study

    root = Path(shutil.copytree(finished.root, tmp_path_factory.mktemp("agree") / "study"))
    (
        root
        / "stages"
        / next(p.name for p in (root / "stages").iterdir() if "vit_b_32-PCam-f1-r0.01" in p.name)
        / "result.json"
    ).unlink()
    return build(Study.open(str(root))).content.tables


def test_all_four_hold_the_same_figures(tables: tuple[Table, ...]) -> None:
    assert {"scores", "per_class", "comparisons", "learning_rates", "calibration", "confusion"} <= {
        t.name for t in tables
    }
    figures = 0
    for table in tables:
        views = {"markdown": from_markdown(markdown(table)), "latex": from_latex(latex(table))}
        for name, cells in views.items():
            raws = list(expected(table))
            assert len(cells) == len(raws) == len(table.rows), (table.name, name)
            figures += same(table.name, name, cells, raws)
        raws = list(expected(table, table.page_by))
        cells = Html(html(table)).rows
        assert len(cells) == len(raws), (table.name, "html")
        figures += same(table.name, "html", cells, raws)
    assert figures > 3000


def same(table: str, view: str, cells: Cells, raws: list[list[list[str]]]) -> int:
    for cell_row, raw_row in zip(cells, raws, strict=True):
        for shown, raw in zip(cell_row, raw_row, strict=True):
            assert agree(" ".join(shown.split()), raw), (table, view, shown, raw)
    return sum(map(len, raws))


def test_the_comparison_itself_sees_a_difference() -> None:
    assert agree("0.123 ± 0.050", ["0.12345", "0.0499"])
    assert not agree("0.124 ± 0.050", ["0.12345", "0.0499"])
    assert not agree("0.123", ["0.12345", "0.0499"])
    assert not agree("–", ["0.5"])
    assert not agree("<0.001", ["0.01"])
