"""The questions a user asks by name, each answered in a sentence with its figures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from analysis.formats.number_format import value_text
from analysis.results.collect import Collected
from analysis.results.grid_file import RANDOM, Domain, ScenarioKind
from analysis.stats.comparisons import LEAST_FOLDS, Comparer, Comparison, Name

IMAGENET, DOMAIN, ARCHITECTURE = "imagenet", "domain", "architecture"
QUESTIONS = (IMAGENET, DOMAIN, ARCHITECTURE)


@dataclass(frozen=True)
class Finding:
    """A question answered.

    Attributes:
        name: by which it is asked.
        sentence: the answer with its figures.
        comparisons: first the one the sentence is of, then those it is made of; one family for Holm.
        notes: what it rests on that the figures do not show.
    """

    name: str
    question: str
    sentence: str
    comparisons: tuple[Comparison, ...] = ()
    notes: tuple[str, ...] = ()


def answers(comparer: Comparer, domains: dict[str, Domain] | None = None) -> tuple[Finding, ...]:
    """Answer all questions that the study bears on.

    Args:
        comparer: of the study.
        domains: data set -> ``in`` or ``out`` of the target's domain, before what grid and names say.
    """
    return (imagenet(comparer), domain(comparer, domains), architecture(comparer))


def imagenet(comparer: Comparer) -> Finding:
    """Does ImageNet help? Scenarios alike but for where they start."""
    kinds = _kinds(comparer.collected)
    pairs = [
        (first, second)
        for first, kind in kinds.items()
        for second, other in kinds.items()
        if kind.start != RANDOM and other.start == RANDOM and kind.pretrain == other.pretrain
    ]
    starts = " or ".join(dict.fromkeys(_shown_start(kinds[first].start) for first, _ in pairs)) or "ImageNet"
    question = f"Does {starts} help?"
    if not pairs:
        lack = "no two scenarios differ only in starting from published or from random weights"
        return Finding(IMAGENET, question, f"Not asked by this study: {_or_fault(comparer, lack)}.")
    family = comparer.family(_over_scenarios(comparer, pairs, f"from {starts}", "from random weights"))
    return Finding(IMAGENET, question, sentence(family, "starting from {first}", "from random weights", starts), family)


def domain(comparer: Comparer, domains: dict[str, Domain] | None = None) -> Finding:
    """In-domain or out-of-domain pre-training? Scenarios alike but for the data set they pre-train on."""
    question = "In-domain or out-of-domain pre-training?"
    kinds = _kinds(comparer.collected)
    said = comparer.collected.grid.domains() | {name: (d, True) for name, d in (domains or {}).items()}
    pairs = [
        (first, second)
        for first, kind in kinds.items()
        for second, other in kinds.items()
        if kind.start == other.start and (_domain(kind, said), _domain(other, said)) == ("in", "out")
    ]
    if not pairs:
        lack = "no two scenarios differ only in pre-training inside or outside the target's domain"
        return Finding(DOMAIN, question, f"Not asked by this study: {_or_fault(comparer, lack)}.")
    family = comparer.family(_over_scenarios(comparer, pairs, "in-domain", "out-of-domain"))
    used = {name for pair in pairs for scenario in pair for name in kinds[scenario].pretrain}
    notes = tuple(_domain_note(name, *said[name]) for name in sorted(used))
    return Finding(
        DOMAIN, question, sentence(family, "pre-training {first}", "out-of-domain", "in-domain"), family, notes
    )


def architecture(comparer: Comparer) -> Finding:
    """Which architecture? Each pair of them, over the scenarios both have."""
    question = "Which architecture?"
    names = list(dict.fromkeys(row.architecture for row in comparer.rows))
    scenarios = {name: [row.scenario for row in comparer.rows if row.architecture == name] for name in names}
    means = {name: _mean_f1(comparer, name) for name in names}
    ranked = sorted(names, key=lambda name: means[name] or 0.0, reverse=True)
    if len(names) < 2:
        return Finding(ARCHITECTURE, question, f"Only {names[0] if names else 'no architecture'} was planned.")
    asked = []
    for place, first in enumerate(ranked):
        for second in ranked[place + 1 :]:
            shared = [scenario for scenario in scenarios[first] if scenario in scenarios[second]]
            pairs: tuple[tuple[Name, Name], ...] = tuple(((first, s), (second, s)) for s in shared)
            asked.append(Comparison(first, second, pairs))
    family = comparer.family(asked)
    order = ", ".join(f"{name} {value_text(means[name], 'score')} ({_runs(comparer, name)})" for name in ranked)
    notes = (f"Mean of macro F1 over the runs of all scenarios: {order}. That is a description.",)
    said = sentence(family, "with {first}", f"with the next, {ranked[1]},", ranked[0])
    return Finding(ARCHITECTURE, question, said, family, notes)


def limits(collected: Collected) -> tuple[str, ...]:
    """Return what no test of these figures can mend."""
    folds = len(collected.split.folds)
    seeds = len({cell.seed for cell in collected.plan.cells})
    found = [
        f"{folds} folds of one data set: small differences cannot be told from chance, and the training parts overlap "
        "(hence the corrected test).",
        "Another data set of the same kind is a further source of variance that no fold shows.",
    ]
    if not collected.split.grouped:
        found.append(
            "No groups are known: images of one patient may lie on both sides of a split and flatter all scores."
        )
    if seeds < 2 and any(stage.kind == "pretrain" for stage in collected.plan.stages):
        found.append(
            "One pre-training draw is shared by all folds of a row: how much another would change shows only with "
            "several seeds."
        )
    return tuple(found)


def _kinds(collected: Collected) -> dict[str, ScenarioKind]:
    """Return the scenarios of the plan, in its order, as far as the grid says what they are."""
    planned = dict.fromkeys(scenario for _, scenario in collected.plan.rows)
    return {name: collected.grid.scenarios[name] for name in planned if name in collected.grid.scenarios}


def _over_scenarios(
    comparer: Comparer, scenarios: list[tuple[str, str]], first: str, second: str
) -> Iterator[Comparison]:
    """Yield the mean over architectures and scenarios, then each pair of rows."""
    names = list(dict.fromkeys(row.architecture for row in comparer.rows))
    planned = {(row.architecture, row.scenario) for row in comparer.rows}
    pairs = [((name, a), (name, b)) for name in names for a, b in scenarios if {(name, a), (name, b)} <= planned]
    yield Comparison(first, second, tuple(pairs))
    if len(pairs) > 1:
        for pair in pairs:
            yield Comparison(", ".join(pair[0]), ", ".join(pair[1]), (pair,))


def sentence(family: tuple[Comparison, ...], first: str, second: str, name: str) -> str:
    """Say what the first comparison of a family came to."""
    head = family[0]
    if head.test is None:
        return "Nothing to tell yet: no fold has both sides of the comparison."
    figures = _figures(head, len(family))
    direction = "higher" if head.test.mean > 0 else "lower" if head.test.mean < 0 else "neither higher nor lower"
    by = f" by {value_text(abs(head.test.mean), 'score')}" if head.test.mean else ""
    what = f"{first.format(first=name)}, macro F1 is {direction}{by} than {second}"
    over = f" on average over {len(head.pairs)} pairs of rows" if len(head.pairs) > 1 else ""
    if not head.enough:
        verdict = f"Not enough folds to tell ({len(head.folds)}; at least {LEAST_FOLDS} are needed)"
    elif head.settled:
        verdict = "Settled by these folds"
    else:
        verdict = "Not settled by these folds"
    return f"{verdict}: {what}{over} ({figures}).{_against(head)}"


def _against(head: Comparison) -> str:
    """Say where the mean over pairs hides that some of them point the other way."""
    if not head.against:
        return ""
    shown = "; ".join(" against ".join(", ".join(name) for name in pair) for pair in head.against[:3])
    more = f"; and {len(head.against) - 3} more" if len(head.against) > 3 else ""
    return f" The other way round in {len(head.against)} of the {len(head.pairs)} pairs: {shown}{more}."


def _figures(head: Comparison, family: int) -> str:
    test = head.test
    if test is None:
        return ""
    parts = []
    if test.low is not None:
        parts.append(f"95 % confidence interval {_range(test.low, test.high)}")
    if test.t is not None:
        parts.append(f"corrected t({test.folds - 1}) = {test.t:.2f}, p = {value_text(test.p, 'p')}")
    if head.p_holm is not None and family > 1:
        parts.append(f"after Holm over {family} comparisons p = {value_text(head.p_holm, 'p')}")
    if test.effect is not None:
        parts.append(f"effect size {test.effect:.2f}")
    if head.interval is not None:
        parts.append(f"bootstrap over images {_range(*head.interval)}")
    return "; ".join([*parts, f"{test.folds} folds"]).replace("p = <", "p < ")


def _range(low: float | None, high: float | None) -> str:
    return f"{value_text(low, 'score')} to {value_text(high, 'score')}"


def _mean_f1(comparer: Comparer, name: str) -> float | None:
    found = [value for (a, _), runs in comparer.scores.items() if a == name for value in runs.values()]
    return float(sum(value[0] for value in found) / len(found)) if found else None


def _runs(comparer: Comparer, name: str) -> str:
    """Say how many runs of an architecture count, of how many."""
    rows = [row for row in comparer.rows if row.architecture == name]
    found, planned = sum(row.runs for row in rows), sum(row.planned_runs for row in rows)
    return f"{found} runs" if found == planned else f"{found} of {planned} runs"


def _domain(kind: ScenarioKind, said: dict[str, tuple[Domain, bool]]) -> Domain | None:
    """Return the domain of a scenario that pre-trains on exactly one data set."""
    return said[kind.pretrain[0]][0] if len(kind.pretrain) == 1 and kind.pretrain[0] in said else None


def _domain_note(name: str, where: Domain, told: bool) -> str:
    source = "as told" if told else "taken from its name, the grid does not say"
    return f"{name} counts as {where}-{'' if where == 'in' else 'of-'}domain ({source})."


def _shown_start(start: str) -> str:
    return "ImageNet" if start.lower().startswith("imagenet") else start


def _or_fault(comparer: Comparer, lack: str) -> str:
    fault = comparer.collected.grid.fault
    return lack if fault is None else f"which scenario is which cannot be told, {fault}"
