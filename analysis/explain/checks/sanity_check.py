"""Does a map depend on the trained weights? Adebayo et al. 2018, "Sanity Checks for Saliency Maps"."""

from __future__ import annotations

from scipy.stats import spearmanr

from analysis.explain.checks.check_input import CheckInput
from analysis.explain.checks.random_network import KINDS
from analysis.explain.checks.registry import CHECKS, Values, explanation_check
from analysis.explain.methods.heat_maps import HeatMaps, is_flat
from analysis.explain.records.records import MEANING, Measurement


@CHECKS.register("sanity check")
@explanation_check({name: MEANING[name] for name in KINDS}, place=20)
def sanity_check(given: CheckInput) -> Values:
    """Yield the similarity of each map to that of the network with random weights."""
    for kind in KINDS if given.steps else ():
        for method, maps in given.randomised_maps(kind).items():
            for i, one in enumerate(maps):
                yield i, Measurement(check=kind, map=method, value=similarity(given.maps[method][i], one))


def similarity(first: HeatMaps, second: HeatMaps) -> float | None:
    """Return Spearman's rho of two maps at their own resolution.

    Args:
        first: shape (rows, columns).
        second: of the same shape.

    Returns:
        rho; None where a map is constant.
    """
    if is_flat(first) or is_flat(second):
        return None
    return float(spearmanr(first.reshape(-1), second.reshape(-1)).statistic)
