"""Values of a table as text, before an output format escapes them."""

from __future__ import annotations

import math
from dataclasses import dataclass

Value = str | int | float | None
DASH = "–"
DIGITS = 3
SMALLEST_P = 0.001
"""A smaller p-value is printed as ``<0.001``: with three decimals it would read 0."""


@dataclass(frozen=True)
class FormattedCell:
    """One cell of a table as displayed.

    Attributes:
        text: the value, unescaped.
        std: its standard deviation, formatted like the value; None where the column has none.
        marks: marks of the footnotes shown in this cell.
        best: whether it is the highest value of its column.
        number: whether it is a number, to be aligned right.
    """

    text: str
    std: str | None = None
    marks: tuple[str, ...] = ()
    best: bool = False
    number: bool = False

    @property
    def plain(self) -> str:
        """The value with its standard deviation."""
        return self.text if self.std is None or self.text == DASH else f"{self.text} ± {self.std}"


def value_text(value: Value, kind: str) -> str:
    """Format a value for display.

    Args:
        value: None and the empty string become a dash.
        kind: of the column: ``text``, ``count``, ``score`` (three decimals), ``number`` (three significant digits),
            ``p`` (a p-value) or ``rate`` (a learning rate).
    """
    if value is None or value == "":
        return DASH
    if isinstance(value, str) or kind in ("text", "count"):
        return str(value)
    if kind == "rate":
        return f"{value:.6g}"
    if kind == "p" and value < SMALLEST_P:
        return f"<{SMALLEST_P}"
    if kind == "number":
        return _significant(value)
    text = f"{value:.{DIGITS}f}"
    return text.removeprefix("-") if float(text) == 0 else text  # never "-0.000"


def rate_text(rate: float) -> str:
    """Return the shortest text that reads back as the same number: 0.01, 1e-05, 1."""
    return repr(float(rate)).removesuffix(".0")


def shortened(text: str, most: int) -> str:
    """Cut a text to a maximum length.

    Args:
        text: any text.
        most: maximum number of characters; a text that was cut ends in an ellipsis.
    """
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _significant(value: int | float) -> str:
    """Format with three significant digits and no exponent: 0.0123, 4.56, 78.9, 12346."""
    if value == 0:
        return "0"
    decimals = max(0, DIGITS - 1 - math.floor(math.log10(abs(value))))
    return f"{value:.{decimals}f}"
