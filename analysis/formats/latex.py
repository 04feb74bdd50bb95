"""A table as LaTeX (booktabs). All text is escaped, so that any label compiles with pdflatex."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from analysis.formats.number_format import DASH, FormattedCell

if TYPE_CHECKING:
    from analysis.formats.table import Table

LONG = 40
"""Number of rows from which a table may break over pages (longtable)."""
WIDE = 9
"""Number of columns from which font and column gaps are smaller."""
LONG_TEXT = 24
"""Number of characters from which a text column is a paragraph that may break."""

_ESCAPES = {
    **{letter: f"\\{letter}" for letter in "{}$&#_%"},
    "\\": r"\textbackslash{}",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\texttt{\char34}",
    "[": "{[}",  # after a line break \\ a bare bracket would be read as its option
    "]": "{]}",
    "±": r"$\pm$",
    "×": r"$\times$",
    "−": r"$-$",
    "≥": r"$\geq$",
    "≤": r"$\leq$",
    "µ": r"$\mu$",
    "²": r"$^2$",
    "½": r"$\frac12$",
    "…": r"\ldots{}",
    DASH: "--",
}
_KNOWN = frozenset("ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÑÒÓÔÕÖØÙÚÛÜÝßàáâãäåæçèéêëìíîïñòóôõöøùúûüýÿ")
"""Non-ASCII letters that the default fonts of LaTeX have."""


def escape(text: str) -> str:
    """Escape a text for LaTeX, on one line. A character that the default fonts lack becomes its code point."""
    escaped = "".join(_letter(letter) for letter in " ".join(text.split()))
    return escaped.replace("--", "-{}-") if "--" in text else escaped


def latex(table: Table) -> str:
    """Return a table environment; a longtable from 40 rows on."""
    body = _long(table) if len(table.rows) >= LONG else _short(table)
    packages = "booktabs, longtable" if len(table.rows) >= LONG else "booktabs"
    return "\n".join([f"% needs: {packages}", *body]) + "\n"


def _letter(letter: str) -> str:
    if letter in _ESCAPES:
        return _ESCAPES[letter]
    if letter in _KNOWN or (letter.isascii() and letter.isprintable()):
        return letter
    return f"\\texttt{{U+{ord(letter):04X}}}" if letter.isprintable() else ""


def _short(table: Table) -> list[str]:
    return [
        r"\begin{table}",
        rf"\centering{_size(table)}",
        _caption(table),
        f"\\begin{{tabular}}{{{_alignment(table)}}}",
        r"\toprule",
        _heading(table),
        r"\midrule",
        *_rows(table),
        r"\bottomrule",
        r"\end{tabular}",
        *_notes(table),
        r"\end{table}",
    ]


def _long(table: Table) -> list[str]:
    head = (r"\toprule", _heading(table), r"\midrule")
    return [
        rf"{{{_size(table)}\setlength{{\LTcapwidth}}{{\linewidth}}",
        f"\\begin{{longtable}}{{{_alignment(table)}}}",
        f"{_caption(table)} \\\\",
        *head,
        r"\endfirsthead",
        *head,
        r"\endhead",
        r"\bottomrule",
        r"\endfoot",
        *_rows(table),
        r"\end{longtable}",
        *_notes(table),
        "}",
    ]


def _size(table: Table) -> str:
    if len(table.columns) >= 2 * WIDE:
        return r"\tiny\setlength{\tabcolsep}{1.5pt}"
    if len(table.columns) >= WIDE:
        return r"\scriptsize\setlength{\tabcolsep}{2.5pt}"
    return r"\small\setlength{\tabcolsep}{4pt}"


def _caption(table: Table) -> str:
    return f"\\caption{{{escape(f'{table.title}. {table.caption}')}}}\\label{{tab:{table.name}}}"


def _alignment(table: Table) -> str:
    return "".join(_column(table, place) for place in range(len(table.columns)))


def _column(table: Table, place: int) -> str:
    if table.columns[place].kind != "text":
        return "r"
    longest = max((len(row[place].text) for row in table.formatted), default=0)
    # A fraction of the line width: long texts wrap and the table fits the page.
    return "l" if longest < LONG_TEXT else r"p{0.2\linewidth}"


def _heading(table: Table) -> str:
    return " & ".join(escape(column.heading) for column in table.columns) + r" \\"


def _rows(table: Table) -> list[str]:
    return [" & ".join(_cell(cell) for cell in row) + r" \\" for row in table.formatted]


def _notes(table: Table) -> list[str]:
    return [f"\\par\\footnotesize {_mark(note.mark)}{escape(note.text)}" for note in table.footnotes]


def _cell(cell: FormattedCell) -> str:
    return (_number(cell) if cell.number else escape(cell.text)) + _mark(",".join(cell.marks))


def _mark(mark: str) -> str:
    return f"\\textsuperscript{{{escape(mark)}}}" if mark else ""


def _number(cell: FormattedCell) -> str:
    if cell.text == DASH or cell.text.isdigit():
        return escape(cell.text)
    std = "" if cell.std is None else f" \\pm {_in_math(cell.std)}"
    inside = f"{_in_math(cell.text)}{std}"
    return f"$\\mathbf{{{inside}}}$" if cell.best else f"${inside}$"


def _in_math(text: str) -> str:
    if text == DASH:
        return r"\mbox{--}"
    return re.sub(r"e([+-]?)0*(\d+)$", r" \\cdot 10^{\1\2}", text)
