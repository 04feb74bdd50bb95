"""Table of val scores, (architecture, scenario) × fold, in as many rows and columns as a terminal has. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TypeAlias

from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

Cell: TypeAlias = tuple[str, float | None]
"""State and val score of a cell."""
Cells: TypeAlias = dict[tuple[str, str], dict[int, list[Cell]]]
"""(architecture, scenario) -> fold -> its cells: the rates and seeds."""
NAMES = ("architecture", "scenario")
FOLD_WIDTH = 8
"""Characters of a fold's column, with the gap beside it."""
LEAST_NAMES = 24
"""Smallest number of characters for the two columns of names."""
STYLES = {"failed": "red", "blocked": "red", "running": "yellow", "done": "green", "waiting": "dim"}
URGENCY = ("running", "failed", "blocked", "done", "waiting")


def matrix(cells: Cells, width: int, lines: int) -> Table:
    """Return the table: a column for each fold if they fit, else counts over the folds.

    Args:
        cells: of the study.
        width: characters of a line.
        lines: of the table. Of more rows, those with running stages are kept first, then failed and done ones.
    """
    folds = sorted({fold for row in cells.values() for fold in row})
    folds_fit = FOLD_WIDTH * len(folds) + LEAST_NAMES <= width
    heads = [f"fold {fold}" for fold in folds] if folds_fit else ["done", "running", "failed", "best"]
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for head, most in zip(NAMES, _name_widths(cells, width - FOLD_WIDTH * len(heads)), strict=True):
        table.add_column(head, no_wrap=True, overflow="ellipsis", max_width=most)
    for head in heads:
        table.add_column(head, no_wrap=True, min_width=FOLD_WIDTH - 1)
    shown = _most_urgent(cells, lines - 1)
    for architecture, scenario in shown:
        row = cells[architecture, scenario]
        texts = [_of_fold(row.get(fold, [])) for fold in folds] if folds_fit else list(_in_all(row))
        table.add_row(Text(architecture), Text(scenario), *texts)
    if hidden := cells.keys() - shown:
        table.add_row(Text(f"… {len(hidden)} more", style="dim"), Text(_counted(cells, hidden), style="dim"))
    return table


def _name_widths(cells: Cells, width: int) -> tuple[int, int]:
    """The widths of the two columns of names: what both need, else half each, and one gets what the other leaves."""
    first, second = (max([len(NAMES[i]), *(cell_len(row[i]) for row in cells)]) for i in (0, 1))
    width = max(2, width - 2)  # the gaps
    first = min(first, max(width // 2, width - second))
    return first, max(1, min(second, width - first))


def _most_urgent(cells: Cells, lines: int) -> list[tuple[str, str]]:
    """The rows that are shown, in their order; if some are not, one line is left to count them."""
    if len(cells) <= lines:
        return list(cells)
    urgent = sorted(cells, key=lambda name: min(URGENCY.index(state) for state in _states(cells[name])))
    chosen = set(urgent[: max(1, lines - 1)])
    return [name for name in cells if name in chosen]


def _states(row: dict[int, list[Cell]]) -> list[str]:
    return [state for fold in row.values() for state, _ in fold]


def _counted(cells: Cells, names: set[tuple[str, str]]) -> str:
    counts = Counter(state for name in names for state in _states(cells[name]))
    return ", ".join(f"{counts[state]} {state}" for state in URGENCY if counts[state])


def _of_fold(cells: Sequence[Cell]) -> Text:
    """The best val score of a fold's cells, or their state."""
    states = {state for state, _ in cells}
    best = _best(cells)
    for state in ("failed", "blocked"):
        if state in states:
            return Text(state, style=STYLES[state])
    if "running" in states:
        return Text(f"{best}…", style=STYLES["running"])
    return Text(best or "·", style=STYLES["done" if states == {"done"} else "waiting"])


def _in_all(row: dict[int, list[Cell]]) -> Iterator[Text]:
    cells = [cell for fold in row.values() for cell in fold]
    counts = Counter(state for state, _ in cells)
    yield Text(f"{counts['done']}/{len(cells)}", style=STYLES["done"])
    yield Text(str(counts["running"] or "·"), style=STYLES["running"])
    yield Text(str(counts["failed"] + counts["blocked"] or "·"), style=STYLES["failed"])
    yield Text(_best(cells) or "·", style=STYLES["done"])


def _best(cells: Sequence[Cell]) -> str:
    scores = [score for _, score in cells if score is not None]
    return f"{max(scores):.3f}" if scores else ""
