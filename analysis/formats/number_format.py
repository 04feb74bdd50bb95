"""One value of a table as people see it, before any format escapes it."""

from __future__ import annotations

import math
from dataclasses import dataclass

Value = str | int | float | None
DASH = "–"
DIGITS = 3
SMALLEST_P = 0.001
"""A smaller p is shown as smaller than this: three decimals would say 0."""


@dataclass(frozen=True)
class FormattedCell:
    """One value as people see it: unescaped text, its SD, the marks of its notes."""

    text: str
    std: str | None = None
    marks: tuple[str, ...] = ()
    best: bool = False
    number: bool = False

    @property
    def plain(self) -> str:
        """The text with its SD."""
        return self.text if self.std is None or self.text == DASH else f"{self.text} ± {self.std}"


def value_text(value: Value, kind: str) -> str:
    """Return a value as text: a dash for none, three decimals for a score, three digits for a number."""
    if value is None or value == "":
        return DASH
    if isinstance(value, str) or kind in ("text", "count"):
        return str(value)
    if kind == "rate":
        return f"{value:.6g}"
    if kind == "p" and value < SMALLEST_P:
        return f"<{SMALLEST_P}"
    if kind == "number":
        return _number(value)
    text = f"{value:.{DIGITS}f}"
    # A tiny negative value must not be shown as minus nothing.
    return text.removeprefix("-") if float(text) == 0 else text


def _number(value: int | float) -> str:
    """Three significant digits, never with an exponent: 0.0123, 4.56, 78.9, 12346."""
    if value == 0:
        return "0"
    decimals = max(0, DIGITS - 1 - math.floor(math.log10(abs(value))))
    return f"{value:.{decimals}f}"
