"""A table as LaTeX (booktabs), everything in it escaped."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analysis.shown import DASH, Shown

if TYPE_CHECKING:
    from analysis.tables import Table

LONG = 40
"""Rows from which a table may break over pages."""

_ESCAPES = {
    **{letter: f"\\{letter}" for letter in "{}$&#_%"},
    "\\": r"\textbackslash{}",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "[": "{[}",  # or it would be read as the option of the \\ before it
    "]": "{]}",
    "±": r"$\pm$",
    "×": r"$\times$",
    DASH: "--",
}


def escape(text: str) -> str:
    """Return text that LaTeX shows as it is, on one line."""
    return "".join(_ESCAPES.get(letter, letter) for letter in " ".join(text.split()))


def latex(table: Table) -> str:
    """Return a table environment, or a longtable from 40 rows on."""
    body = _long(table) if len(table.rows) >= LONG else _short(table)
    packages = "booktabs, longtable" if len(table.rows) >= LONG else "booktabs"
    return "\n".join([f"% needs: {packages}", *body]) + "\n"


def _short(table: Table) -> list[str]:
    return [
        r"\begin{table}",
        r"\centering\small\setlength{\tabcolsep}{4pt}",
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
    return [
        r"{\small\setlength{\tabcolsep}{4pt}",
        f"\\begin{{longtable}}{{{_alignment(table)}}}",
        f"{_caption(table)} \\\\",
        r"\toprule",
        _heading(table),
        r"\midrule",
        r"\endhead",
        r"\bottomrule",
        r"\endfoot",
        *_rows(table),
        r"\end{longtable}",
        *_notes(table),
        "}",
    ]


def _caption(table: Table) -> str:
    return f"\\caption{{{escape(f'{table.title}. {table.caption}')}}}\\label{{tab:{table.name}}}"


def _alignment(table: Table) -> str:
    return "".join("l" if column.kind == "text" else "r" for column in table.columns)


def _heading(table: Table) -> str:
    return " & ".join(escape(column.heading) for column in table.columns) + r" \\"


def _rows(table: Table) -> list[str]:
    return [" & ".join(_cell(shown) for shown in row) + r" \\" for row in table.shown]


def _notes(table: Table) -> list[str]:
    return [f"\\par\\footnotesize {_mark(note.mark)}{escape(note.text)}" for note in table.footnotes]


def _cell(shown: Shown) -> str:
    return (_number(shown) if shown.number else escape(shown.text)) + _mark(",".join(shown.marks))


def _mark(mark: str) -> str:
    return f"\\textsuperscript{{{escape(mark)}}}" if mark else ""


def _number(shown: Shown) -> str:
    if shown.text == DASH or shown.text.isdigit():
        return escape(shown.text)
    std = "" if shown.std is None else f" \\pm {_in_math(shown.std)}"
    inside = f"{_in_math(shown.text)}{std}"
    return f"$\\mathbf{{{inside}}}$" if shown.best else f"${inside}$"


def _in_math(text: str) -> str:
    return r"\mbox{--}" if text == DASH else text
