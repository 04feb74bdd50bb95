"""What a row lacks and why, as footnotes; and what its cells should have in common and do not."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from string import ascii_lowercase

from analysis.formats.table import Footnote
from analysis.results.collect import Collected, LeftOut
from analysis.results.plan_file import PlannedStage
from analysis.results.verify import Cell
from analysis.stats.class_averages import RowScores, rate_text

NAMED_CELLS = 4
"""Up to so many cells of one reason are named one by one in a footnote."""
ALIKE = ("device", "precision", "world_size", "threads", "versions", "commit")
"""What of an environment should be the same in all cells of a table."""


@dataclass(frozen=True)
class MissingRunNotes:
    """The footnotes of a table whose rows are those of the study.

    Attributes:
        notes: one for each different account of a gap, in the order of the rows.
    """

    notes: tuple[Footnote, ...]

    @classmethod
    def of(cls, rows: Sequence[RowScores]) -> MissingRunNotes:
        """Gather what the rows lack."""
        accounts = dict.fromkeys(account for row in rows if (account := _account(row)))
        return cls(tuple(Footnote(_letter(place), account) for place, account in enumerate(accounts)))

    def marks(self, row: RowScores) -> tuple[str, ...]:
        """Return the marks of a row."""
        account = _account(row)
        return tuple(note.mark for note in self.notes if note.text == account)


def mixed(cells: Iterable[Cell]) -> tuple[Footnote, ...]:
    """Say in which facts that should be alike the cells of a table differ, with the number of cells of each value."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for cell in cells:
        for fact in ALIKE:
            value = cell.result.environment.get(fact)
            for name, one in value.items() if isinstance(value, dict) else ((None, value),):
                found[fact if name is None else f"version of {name}"][str(one)] += 1
    notes = (
        Footnote("", f"Mixed: the cells differ in {name.replace('_', ' ')}: {_counts(values)}.")
        for name, values in found.items()
        if len(values) > 1
    )
    return tuple(notes)


def mixed_of(collected: Collected) -> tuple[Footnote, ...]:
    """Return the same of all cells whose test scores count."""
    return mixed(collected.chosen)


def _counts(values: Counter[str]) -> str:
    return ", ".join(f"{value} ({count} {'cell' if count == 1 else 'cells'})" for value, count in values.most_common())


def _letter(place: int) -> str:
    return ascii_lowercase[place % 26] * (place // 26 + 1)


def _account(row: RowScores) -> str:
    """Say what a row lacks and why, or return ""."""
    if not row.left_out:
        return ""
    reasons: dict[str, list[LeftOut]] = defaultdict(list)
    for out in row.left_out:
        reasons[out.reason].append(out)
    seeds = len({cell.seed for cell in row.planned}) > 1
    lacks = f"{row.runs} of {row.planned_runs} runs"
    if row.runs == row.planned_runs:
        lacks = f"all {row.runs} runs, but of some the rate was chosen from fewer"
    return f"{lacks}. " + ". ".join(f"{reason}: {_where(outs, seeds)}" for reason, outs in reasons.items())


def _where(outs: Sequence[LeftOut], seeds: bool) -> str:
    if len(outs) > NAMED_CELLS:
        return f"{len(outs)} cells"
    return "; ".join(_place(out.planned, seeds) for out in outs)


def _place(cell: PlannedStage, seeds: bool) -> str:
    parts = [f"fold {cell.fold}"]
    if cell.learning_rate is not None:
        parts.append(f"rate {rate_text(cell.learning_rate)}")
    return ", ".join([*parts, f"seed {cell.seed}"] if seeds else parts)
