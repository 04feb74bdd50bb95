"""Every table compiles with a plain LaTeX; skipped by name where no TeX is installed."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from analysis.formats.latex import escape, latex
from analysis.formats.table import Column, Footnote, Row, Table
from analysis.page.build import build

PDFLATEX = shutil.which("pdflatex")
NO_TEX = "no pdflatex: apt-get install texlive-latex-base texlive-latex-recommended"
PREAMBLE = (
    "\\documentclass{article}\n\\usepackage[a4paper,margin=1cm,landscape]{geometry}\n\\usepackage{booktabs,longtable}\n"
)
NASTY = 'a|b_c & 50% <i>*x*</i> [z] \\ {#1} $~^\n`q` "d" é µ Ω 中 😀 a--b ≥½ \x07'


def compile_latex(bodies: list[str], folder: Path) -> str:
    """Compile a document of these pieces; return the log."""
    inside = "\n\\clearpage\n".join(bodies)
    (folder / "all.tex").write_text(f"{PREAMBLE}\\begin{{document}}\n{inside}\n\\end{{document}}\n", encoding="utf-8")
    command = [str(PDFLATEX), "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "all.tex"]
    done = subprocess.run(command, cwd=folder, capture_output=True, check=False, timeout=120)
    log = (folder / "all.log").read_text(encoding="utf-8", errors="replace")
    errors = [line for line in log.splitlines() if line.startswith("!")]
    assert done.returncode == 0, errors
    return log


@pytest.mark.skipif(PDFLATEX is None, reason=NO_TEX)
def test_every_table_compiles(small: Any, tmp_path: Path) -> None:
    small.fail("resnet18-Random-f1-r0.01", "Value_Error", NASTY)
    report = build(small.study)
    files = sorted((small.root / "report" / "tables").glob("*.tex"))
    assert len(files) == len(report.content.tables) >= 12
    log = compile_latex([file.read_text(encoding="utf-8") for file in files], tmp_path)
    assert (tmp_path / "all.pdf").stat().st_size > 10_000
    assert "multiply" not in log
    widths = [float(width) for width in re.findall(r"Overfull \\hbox \((\d+\.\d+)pt too wide\)", log)]
    assert not [width for width in widths if width > 20], "a table is wider than a landscape page"


@pytest.mark.skipif(PDFLATEX is None, reason=NO_TEX)
def test_tables_of_a_study_not_begun_compile(small: Any, tmp_path: Path) -> None:
    (small.root / "stages").rename(small.root / "gone")
    compile_latex([latex(table) for table in build(small.study).content.tables], tmp_path)


@pytest.mark.skipif(PDFLATEX is None, reason=NO_TEX)
def test_nasty_text_compiles_short_and_long(tmp_path: Path) -> None:
    table = Table(
        name="nasty_one",
        title=NASTY,
        columns=(Column("label", NASTY, marked=True), Column("f1", "F1", "score", std_key="sd", best=True)),
        rows=(Row({"label": NASTY, "f1": 0.5, "sd": None}, ("a",)), Row({"label": "[z]", "f1": 0.25, "sd": 0.1})),
        caption=NASTY,
        footnotes=(Footnote("a", NASTY),),
    )
    long = Table("L", table.columns, table.rows * 40, NASTY, table.footnotes, name="long_one")
    compile_latex([latex(table), latex(long)], tmp_path)


def test_what_latex_has_no_letter_for_is_named() -> None:
    assert escape("中") == r"\texttt{U+4E2D}"
    assert escape("é") == "é"
    assert escape("a--b") == "a-{}-b"
    assert escape("\x07") == ""
