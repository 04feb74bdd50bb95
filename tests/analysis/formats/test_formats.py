"""One table, many views: the same figures, everything escaped."""

from __future__ import annotations

import csv
import io
import re
from typing import Any

import pytest

from analysis.formats.latex import latex
from analysis.formats.markdown import markdown, plain_text
from analysis.formats.table import Column, Footnote, Row, Table
from analysis.page.build import build

NASTY = "a|b_c & 50% <i>*x*</i> [z] \\ {#1} $~^\n`q`"


def a_table() -> Table:
    return Table(
        name="t",
        title="T",
        columns=(
            Column("label", "La_bel", marked=True),
            Column("n", "n", "count"),
            Column("f1_mean", "F1", "score", std_key="f1_std", best=True),
        ),
        rows=(
            Row({"label": NASTY, "n": 3, "f1_mean": 0.1 + 0.2, "f1_std": 0.0604}, marks=("a",)),
            Row({"label": "one", "n": 1, "f1_mean": 0.25, "f1_std": None}),
            Row({"label": "none", "n": 0, "f1_mean": None, "f1_std": None}),
            Row({"label": "tiny", "n": 2, "f1_mean": -0.0001, "f1_std": 0.0}),
        ),
        caption="mean ± SD, 2 × 3",
        footnotes=(Footnote("a", "why_not"), Footnote("", "50% of all")),
    )


def test_where_all_are_alike_none_is_marked() -> None:
    column = Column("f1", "F1", "score", best=True)
    alike = Table("T", (column,), (Row({"f1": 0.5}), Row({"f1": 0.5}), Row({"f1": None})))
    assert not any(cell.best for row in alike.formatted for cell in row)
    two = Table("T", (column,), (Row({"f1": 0.5}), Row({"f1": 0.5}), Row({"f1": 0.25})))
    assert [row[0].best for row in two.formatted] == [True, True, False]


def test_csv_keeps_every_digit_and_gaps_are_empty() -> None:
    rows = list(csv.DictReader(io.StringIO(a_table().to_csv())))
    assert list(rows[0]) == ["label", "n", "f1_mean", "f1_std"]
    assert rows[0]["label"] == NASTY
    assert float(rows[0]["f1_mean"]) == 0.1 + 0.2
    assert (rows[1]["f1_std"], rows[2]["f1_mean"]) == ("", "")


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1"])
def test_a_text_is_no_formula_in_csv_and_a_number_stays(text: str) -> None:
    table = Table("T", (Column("a", "A"), Column("n", "n", "number")), (Row({"a": text, "n": -1.5}),))
    (row,) = csv.DictReader(io.StringIO(table.to_csv(), newline=""))
    assert (row["a"], row["n"]) == (f"'{text}", "-1.5")


def test_a_carriage_return_is_no_end_of_a_row() -> None:
    table = Table("T", (Column("a", "A"),), (Row({"a": "x\ry"}),))
    assert list(csv.DictReader(io.StringIO(table.to_csv(), newline=""))) == [{"a": "x\\ry"}]


def test_markdown_is_escaped_and_marks_the_best() -> None:
    lines = markdown(a_table()).splitlines()
    assert lines[2:4] == ["| La_bel | n | F1 |", "| --- | ---: | ---: |"]
    assert re.split(r"(?<!\\)\|", lines[4])[3].strip() == "**0.300 ± 0.060**"
    assert "<i>" not in re.sub(r"\\<", "", lines[4])
    assert lines[5:8] == ["| one | 1 | 0.250 ± – |", "| none | 0 | – |", "| tiny | 2 | 0.000 ± 0.000 |"]
    assert "- <sup>a</sup> why_not" in lines


def test_latex_is_escaped() -> None:
    text = latex(a_table())
    assert r"$\mathbf{0.300 \pm 0.060}$ \\" in text
    assert r"one & 1 & $0.250 \pm \mbox{--}$ \\" in text
    assert r"none & 0 & -- \\" in text
    assert r"La\_bel & n & F1 \\" in text
    assert r"a\textbar{}b\_c \& 50\% \textless{}i\textgreater{}*x*" in text
    assert r"\textbackslash{} \{\#1\} \$\textasciitilde{}\textasciicircum{} `q`\textsuperscript{a}" in text
    assert r"50\% of all" in text
    assert text.isascii()


def test_long_latex_table_breaks_over_pages() -> None:
    table = a_table()
    long = Table(table.title, table.columns, table.rows * 20, name=table.name)
    assert latex(long).count(r"\begin{longtable}") == 1


def test_terminal_text_has_no_control_characters() -> None:
    table = Table("T", (Column("label", "L"),), (Row({"label": "\x1b[31mred\nline"}),))
    assert plain_text(table).splitlines()[-1] == " [31mred line"


def test_views_hold_the_same_figures(small: Any) -> None:
    report = build(small.study)
    tables = small.root / "report" / "tables"
    for name, table in (("scores", report.scores), ("per_class", report.per_class)):
        rows = list(csv.DictReader(io.StringIO((tables / f"{name}.csv").read_text())))
        expected = [f"{float(r[f'{m}_mean']):.3f} {float(r[f'{m}_std']):.3f}" for r in rows for m in _MEASURES]
        expected = [re.sub(r"-(0\.000)", r"\1", text) for text in expected]
        markdown = (tables / f"{name}.md").read_text()
        latex = (tables / f"{name}.tex").read_text()
        # Of all tables of the page, those whose caption is the table's title, or begins with it where it is in pieces.
        whole = (small.root / "report" / "index.html").read_text()
        own = [
            text
            for text in re.findall(r"<table>.*?</table>", whole, re.S)
            if re.search(f"<caption>{table.title}[<:]", text)
        ]
        page = re.sub(r"<[^>]*>", "", "".join(own))
        number = r"(-?\d\.\d{3})"
        assert [" ".join(pair) for pair in re.findall(f"{number} ± {number}", markdown)] == expected
        assert [" ".join(pair) for pair in re.findall(rf"{number} \\pm {number}", latex)] == expected
        in_page = [" ".join(pair) for pair in re.findall(f"{number} ± {number}", page)]
        assert in_page == expected
        assert len(table.rows) == len(rows)


_MEASURES = ("precision", "recall", "f1", "mcc")


def test_a_row_without_a_value_is_refused_by_name() -> None:
    columns = (Column("label", "Label"), Column("f1", "F1", "score", std_key="f1_std"))
    with pytest.raises(ValueError, match="table 'T': row 1 has no value of f1_std"):
        Table("T", columns, (Row({"label": "a", "f1": 1.0, "f1_std": None}), Row({"label": "b", "f1": 0.5})))
