"""Published scores on the bone-marrow set: an anchor beside one's own, never in one table with them."""

from __future__ import annotations

from dataclasses import dataclass

from analysis.formats.number_format import Value
from analysis.formats.table import Column, Footnote, Row, Table
from analysis.results.collect import Collected

CODES = frozenset(
    [
        "ABE",
        "ART",
        "BAS",
        "BLA",
        "EBO",
        "EOS",
        "FGC",
        "HAC",
        "KSC",
        "LYI",
        "LYT",
        "MMZ",
        "MON",
        "MYB",
        "NGB",
        "NGS",
        "NIF",
        "OTH",
        "PEB",
        "PLM",
        "PMO",
    ]
)
"""The 21 classes of Bone-Marrow-Cytomorphology_MLL_Helmholtz_Fraunhofer (TCIA)."""
IMAGES = 171_374


@dataclass(frozen=True)
class _Published:
    work: str
    network: str
    scores: tuple[float | None, ...]
    """Mean and ± of precision, recall and F1."""


_WORKS = (_Published("Glüge et al. 2024", "regnet_y_32gf, ImageNet+CD", (0.787, 0.060, 0.755, 0.061, 0.762, 0.050)),)
_KEYS = tuple(f"{measure}_{part}" for measure in ("precision", "recall", "f1") for part in ("mean", "std"))


def published_table(collected: Collected) -> Table | None:
    """Return the published scores; None where the study is of another data set."""
    classes = set(collected.plan.classes)
    if collected.plan.target != "bone_marrow" or not classes or not classes <= CODES:
        return None
    rows = []
    for work in _WORKS:
        values: dict[str, Value] = {"work": work.work, "network": work.network}
        rows.append(Row(values | dict(zip(_KEYS, work.scores, strict=True))))
    return Table(
        name="published",
        title="Published on this set",
        columns=(
            *(Column("work", "Work"), Column("network", "Network")),
            *(
                Column(f"{measure}_mean", heading, "score", std_key=f"{measure}_std")
                for measure, heading in (("precision", "Precision"), ("recall", "Recall"), ("f1", "F1"))
            ),
        ),
        rows=tuple(rows),
        caption="Five folds, 21 classes, averaged like the scores of this study (mean ± SD as there). An anchor, not a "
        "competitor: folds, image size and recipe are not the same.",
        footnotes=_differences(collected),
    )


def _differences(collected: Collected) -> tuple[Footnote, ...]:
    images, classes = len(collected.split.labels), len(collected.plan.classes)
    if classes == len(CODES) and abs(images - IMAGES) <= IMAGES // 100:
        return ()
    return (
        Footnote(
            "",
            f"Not comparable in size: published on {IMAGES} images of {len(CODES)} classes, this study has {images} "
            f"images of {classes}.",
        ),
    )
