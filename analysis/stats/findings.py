"""Findings: the research questions a study answers, each in a sentence with its test."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from analysis.formats.number_format import value_text
from analysis.results.collect import Collected
from analysis.results.grid_file import RANDOM, Domain, InitialWeights
from analysis.stats import QUESTIONS
from analysis.stats.comparisons import LEAST_FOLDS, Comparer, Comparison, RowPair

IMAGENET, DOMAIN, ARCHITECTURE = QUESTIONS


@dataclass(frozen=True)
class Finding:
    """A research question with its answer.

    Attributes:
        name: short name of the question.
        question: in words.
        sentence: the answer with its statistics.
        comparisons: the one that the sentence reports, then its details; one family for Holm's correction.
        notes: assumptions that the statistics do not show.
    """

    name: str
    question: str
    sentence: str
    comparisons: tuple[Comparison, ...] = ()
    notes: tuple[str, ...] = ()


def all_findings(comparer: Comparer, domains: Mapping[str, Domain] | None = None) -> tuple[Finding, ...]:
    """Answer all research questions.

    Args:
        comparer: of the study.
        domains: data set -> ``in`` or ``out`` of the target's domain; overrides what names say.
    """
    return tuple(finding(comparer, name, domains) for name in QUESTIONS)


def finding(comparer: Comparer, name: str, domains: Mapping[str, Domain] | None = None) -> Finding:
    """Answer one research question.

    Args:
        comparer: of the study.
        name: one of ``QUESTIONS``.
        domains: as in ``all_findings``.
    """
    if name == IMAGENET:
        return _imagenet(comparer)
    return _domain(comparer, domains or {}) if name == DOMAIN else _architecture(comparer)


def _imagenet(comparer: Comparer) -> Finding:
    """Compare scenarios that differ only in their start: published or random weights."""
    weights = _initial_weights(comparer.collected)
    pairs = [
        (first, second)
        for first, one in weights.items()
        for second, other in weights.items()
        if one.start != RANDOM and other.start == RANDOM and one.pretrain == other.pretrain
    ]
    starts = " or ".join(dict.fromkeys(_start_name(weights[first].start) for first, _ in pairs)) or "ImageNet"
    question = f"Does {starts} help?"
    if not pairs:
        lack = "no two scenarios differ only in starting from published or from random weights"
        return Finding(IMAGENET, question, f"Not asked by this study: {_or_fault(comparer, lack)}.")
    family = comparer.family(_over_scenarios(comparer, pairs, f"from {starts}", "from random weights"))
    return Finding(IMAGENET, question, sentence(family, f"starting from {starts}", "from random weights"), family)


def _domain(comparer: Comparer, given: Mapping[str, Domain]) -> Finding:
    """Compare scenarios that differ only in the domain of the data set they pre-train on."""
    question = "In-domain or out-of-domain pre-training?"
    weights = _initial_weights(comparer.collected)
    domains = {**comparer.collected.grid.domains(), **given}

    def domain_of(scenario: InitialWeights) -> Domain | None:
        only = scenario.pretrain[0] if len(scenario.pretrain) == 1 else ""
        return domains.get(only)

    pairs = [
        (first, second)
        for first, one in weights.items()
        for second, other in weights.items()
        if one.start == other.start and (domain_of(one), domain_of(other)) == ("in", "out")
    ]
    if not pairs:
        lack = "no two scenarios differ only in pre-training inside or outside the target's domain"
        return Finding(DOMAIN, question, f"Not asked by this study: {_or_fault(comparer, lack)}.")
    family = comparer.family(_over_scenarios(comparer, pairs, "in-domain", "out-of-domain"))
    used = {name for pair in pairs for scenario in pair for name in weights[scenario].pretrain}
    notes = tuple(_domain_note(name, domains[name], name in given) for name in sorted(used))
    return Finding(DOMAIN, question, sentence(family, "pre-training in-domain", "out-of-domain"), family, notes)


def _architecture(comparer: Comparer) -> Finding:
    """Compare each pair of architectures over the scenarios both have."""
    question = "Which architecture?"
    names = list(dict.fromkeys(row.architecture for row in comparer.rows))
    scenarios = {name: [row.scenario for row in comparer.rows if row.architecture == name] for name in names}
    means = {name: _mean_f1(comparer, name) for name in names}
    ranked = sorted(names, key=lambda name: means[name] or 0.0, reverse=True)
    if len(names) < 2:
        return Finding(ARCHITECTURE, question, f"Only {names[0] if names else 'no architecture'} was planned.")
    comparisons = []
    for place, first in enumerate(ranked):
        for second in ranked[place + 1 :]:
            shared = [scenario for scenario in scenarios[first] if scenario in scenarios[second]]
            pairs: tuple[RowPair, ...] = tuple(((first, scenario), (second, scenario)) for scenario in shared)
            comparisons.append(Comparison(first, second, pairs))
    family = comparer.family(comparisons)
    order = ", ".join(f"{name} {value_text(means[name], 'score')} ({_runs(comparer, name)})" for name in ranked)
    notes = (f"Mean of macro F1 over the runs of all scenarios: {order}. That is a description.",)
    answer = sentence(family, f"with {ranked[0]}", f"with the next, {ranked[1]},")
    return Finding(ARCHITECTURE, question, answer, family, notes)


def limits(collected: Collected) -> tuple[str, ...]:
    """Return the limits of the study that no test can remove."""
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


def sentence(family: Sequence[Comparison], first: str, second: str) -> str:
    """Report the first comparison of a family in a sentence.

    Args:
        family: comparisons with a common Holm correction, at least one.
        first: words for the first side, such as ``starting from ImageNet``.
        second: words for the second side.
    """
    head = family[0]
    if head.test is None:
        return "Nothing to tell yet: no fold has both sides of the comparison."
    direction = "higher" if head.test.mean > 0 else "lower" if head.test.mean < 0 else "neither higher nor lower"
    by = f" by {value_text(abs(head.test.mean), 'score')}" if head.test.mean else ""
    over = f" on average over {len(head.pairs)} pairs of rows" if len(head.pairs) > 1 else ""
    if not head.enough:
        verdict = f"Not enough folds to tell ({len(head.folds)}; at least {LEAST_FOLDS} are needed)"
    else:
        verdict = f"{'Settled' if head.settled else 'Not settled'} by these folds"
    statistics = _statistics(head, len(family))
    return f"{verdict}: {first}, macro F1 is {direction}{by} than {second}{over} ({statistics}).{_against(head)}"


def _initial_weights(collected: Collected) -> dict[str, InitialWeights]:
    """Return the planned scenarios that the grid declares, in the order of the plan."""
    planned = dict.fromkeys(scenario for _, scenario in collected.plan.rows)
    return {name: collected.grid.scenarios[name] for name in planned if name in collected.grid.scenarios}


def _over_scenarios(
    comparer: Comparer, scenarios: list[tuple[str, str]], first: str, second: str
) -> Iterator[Comparison]:
    """Yield the comparison of the mean over architectures and scenarios, then that of each pair of rows."""
    names = list(dict.fromkeys(row.architecture for row in comparer.rows))
    planned = {row.row for row in comparer.rows}
    pairs = [((name, a), (name, b)) for name in names for a, b in scenarios if {(name, a), (name, b)} <= planned]
    yield Comparison(first, second, tuple(pairs))
    if len(pairs) > 1:
        for pair in pairs:
            yield Comparison(", ".join(pair[0]), ", ".join(pair[1]), (pair,))


def _against(head: Comparison) -> str:
    """Name the pairs whose own difference has the opposite sign of the reported mean."""
    if not head.against:
        return ""
    named = "; ".join(" against ".join(", ".join(name) for name in pair) for pair in head.against[:3])
    more = f"; and {len(head.against) - 3} more" if len(head.against) > 3 else ""
    return f" The other way round in {len(head.against)} of the {len(head.pairs)} pairs: {named}{more}."


def _statistics(head: Comparison, family_size: int) -> str:
    test = head.test
    if test is None:
        return ""
    parts = []
    if test.low is not None:
        parts.append(f"95 % confidence interval {_range(test.low, test.high)}")
    if test.t is not None:
        parts.append(f"corrected t({test.folds - 1}) = {test.t:.2f}, p = {value_text(test.p, 'p')}")
    if head.p_holm is not None and family_size > 1:
        parts.append(f"after Holm over {family_size} comparisons p = {value_text(head.p_holm, 'p')}")
    if test.effect is not None:
        parts.append(f"effect size {test.effect:.2f}")
    if head.interval is not None:
        parts.append(f"bootstrap over images {_range(*head.interval)}")
    return "; ".join([*parts, f"{test.folds} folds"]).replace("p = <", "p < ")


def _range(low: float | None, high: float | None) -> str:
    return f"{value_text(low, 'score')} to {value_text(high, 'score')}"


def _mean_f1(comparer: Comparer, architecture: str) -> float | None:
    values = [float(f1[0]) for row, runs in comparer.scores.items() if row[0] == architecture for f1 in runs.values()]
    return sum(values) / len(values) if values else None


def _runs(comparer: Comparer, architecture: str) -> str:
    """Return the number of runs of an architecture that count, and of how many if some are missing."""
    rows = [row for row in comparer.rows if row.architecture == architecture]
    found, planned = sum(row.runs for row in rows), sum(row.planned_runs for row in rows)
    return f"{found} runs" if found == planned else f"{found} of {planned} runs"


def _domain_note(name: str, domain: Domain, given: bool) -> str:
    source = "as given" if given else "taken from its name, the grid does not say"
    return f"{name} counts as {domain}-{'' if domain == 'in' else 'of-'}domain ({source})."


def _start_name(start: str) -> str:
    return "ImageNet" if start.lower().startswith("imagenet") else start


def _or_fault(comparer: Comparer, lack: str) -> str:
    fault = comparer.collected.grid.fault
    return lack if fault is None else f"which scenario is which cannot be told, {fault}"
