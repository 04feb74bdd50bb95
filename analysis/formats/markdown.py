"""A table as Markdown, and as aligned text for the terminal."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from analysis.formats.number_format import FormattedCell

if TYPE_CHECKING:
    from analysis.formats.table import Table

_SPECIAL = re.compile(r"([\\`*|<>\[\]~$]|(?<!\w)_|_(?!\w))")


def markdown(table: Table) -> str:
    """Return a GitHub-flavoured Markdown table, everything in it escaped, with caption and notes."""
    numbers = [column.kind != "text" for column in table.columns]
    lines = [
        f"**{escape(table.title)}.** {escape(table.caption)}",
        "",
        _line([escape(column.heading) for column in table.columns]),
        _line(["---:" if number else "---" for number in numbers]),
        *(_line([_cell(shown) for shown in row]) for row in table.shown),
        "",
    ]
    for note in table.footnotes:
        mark = f"<sup>{escape(note.mark)}</sup> " if note.mark else ""
        lines.append(f"- {mark}{escape(note.text)}")
    return "\n".join(lines).rstrip() + "\n"


def escape(text: str) -> str:
    """Return text that Markdown shows as it is, on one line."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.replace("&", "&amp;").split()))


def plain_text(table: Table) -> str:
    """Return the table as aligned columns, with its notes, for the terminal."""
    rows = [[column.heading for column in table.columns]]
    rows += [[_plain(shown) for shown in row] for row in table.shown]
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


def _cell(shown: FormattedCell) -> str:
    text = escape(shown.plain)
    marks = f" <sup>{escape(','.join(shown.marks))}</sup>" if shown.marks else ""
    return (f"**{text}**" if shown.best else text) + marks


def _plain(shown: FormattedCell) -> str:
    # Control characters of a label must not reach the terminal.
    text = "".join(letter if letter.isprintable() else " " for letter in shown.plain)
    return f"{text} {','.join(shown.marks)}".rstrip()
