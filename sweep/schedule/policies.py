"""Scheduling policies: which of the ready stages starts first. A new one is a function here and its line in ``POLICIES``."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from trainables.errors import suggestion


class ReadyStage(NamedTuple):
    """What a policy knows of a stage.

    Attributes:
        work: what is left of the stage, in the unit of the tasks' costs.
        downstream: longest chain of work that waits for it, itself not counted, in the same unit.
        place: its index in the plan; upstream stages come first.
        arrival: number of times that a stage became ready before.
    """

    work: float
    downstream: float
    place: int
    arrival: int


class Priority(NamedTuple):
    """Sort key of a ready stage: the highest value starts first, among equal values the highest tie-break."""

    value: float
    tie_break: int


Policy = Callable[[ReadyStage], Priority]


def longest_chain(stage: ReadyStage) -> Priority:
    """Critical path first: the stage with the longest chain of work from its start to the end of the study.

    Source: Hu, *Parallel sequencing and assembly line problems*, Operations Research 9 (1961), "highest level first".
    """
    return Priority(stage.work + stage.downstream, -stage.place)


def first_come(stage: ReadyStage) -> Priority:
    """First in, first out: the baseline of ``python -m sweep.simulate``."""
    return Priority(0.0, -stage.arrival)


POLICIES: dict[str, Policy] = {"longest chain": longest_chain, "first come": first_come}


def find_policy(name: str) -> Policy:
    """Return the policy of a name.

    Raises:
        ValueError: if there is none; the message has the valid names and the nearest of them.
    """
    if name not in POLICIES:
        valid = ", ".join(POLICIES)
        raise ValueError(f"no scheduling policy {name!r}; there are {valid}{suggestion(name, POLICIES)}")
    return POLICIES[name]
