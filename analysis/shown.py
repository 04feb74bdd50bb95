"""One value of a table as people see it, before any format escapes it."""

from __future__ import annotations

from dataclasses import dataclass

Value = str | int | float | None
DASH = "–"
DIGITS = 3


@dataclass(frozen=True)
class Shown:
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
    """Return a value as text: a dash for none, three digits for a score."""
    if value is None or value == "":
        return DASH
    if kind != "score" or isinstance(value, str):
        return str(value)
    text = f"{value:.{DIGITS}f}"
    # A tiny negative value must not be shown as minus nothing.
    return text.removeprefix("-") if float(text) == 0 else text
