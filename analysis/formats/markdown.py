"""A table as Markdown, and as aligned text for the terminal."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from analysis.formats.number_format import FormattedCell

if TYPE_CHECKING:
    from analysis.formats.table import Table

_SPECIAL = re.compile(r"([\\`*|<>\[\]~$]|(?<!\w)_|_(?!\w))")


def markdown(table: Table) -> str:
    """Return a GitHub-flavoured Markdown table with caption and footnotes; all text is escaped."""
    numbers = [column.kind != "text" for column in table.columns]
    lines = [
        f"**{escape(table.title)}.** {escape(table.caption)}",
        "",
        _line([escape(column.heading) for column in table.columns]),
        _line(["---:" if number else "---" for number in numbers]),
        *(_line([_cell(cell) for cell in row]) for row in table.formatted),
        "",
    ]
    for note in table.footnotes:
        mark = f"<sup>{escape(note.mark)}</sup> " if note.mark else ""
        lines.append(f"- {mark}{escape(note.text)}")
    return "\n".join(lines).rstrip() + "\n"


def escape(text: str) -> str:
    """Escape a text for Markdown, on one line."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.replace("&", "&amp;").split()))


def plain_text(table: Table) -> str:
    """Return a table as aligned columns with its footnotes, for the terminal."""
    rows = [[column.heading for column in table.columns]]
    rows += [[_plain(cell) for cell in row] for row in table.formatted]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    numbers = [column.kind != "text" for column in table.columns]
    rows.insert(1, ["-" * width for width in widths])
    lines = [
        "  ".join(
            text.rjust(width) if number else text.ljust(width)
            for text, width, number in zip(row, widths, numbers, strict=True)
        ).rstrip()
        for row in rows
    ]
    return "\n".join([*lines, *(f"{note.mark} {note.text}".strip() for note in table.footnotes)])


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(cell: FormattedCell) -> str:
    text = escape(cell.plain)
    marks = f" <sup>{escape(','.join(cell.marks))}</sup>" if cell.marks else ""
    return (f"**{text}**" if cell.best else text) + marks


def _plain(cell: FormattedCell) -> str:
    # Control characters of a label must not reach the terminal.
    text = "".join(letter if letter.isprintable() else " " for letter in cell.plain)
    return f"{text} {','.join(cell.marks)}".rstrip()
