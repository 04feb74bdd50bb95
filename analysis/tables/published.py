"""Published scores on the bone-marrow set, in a table of their own: not to be mixed with the scores of the study."""

from __future__ import annotations

from analysis.formats.table import Column, Footnote, Row, Table
from analysis.registry.report_entry import report_entry
from analysis.results.collect import Collected
from analysis.stats.report_data import ReportData
from analysis.tables.registry import TABLES

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
PUBLISHED = (
    Row(
        {
            "work": "Glüge et al. 2024",
            "network": "regnet_y_32gf, ImageNet+CD",
            **{"precision_mean": 0.787, "precision_std": 0.060},
            **{"recall_mean": 0.755, "recall_std": 0.061},
            **{"f1_mean": 0.762, "f1_std": 0.050},
        }
    ),
)


@TABLES.register("published")
@report_entry("answer", place=30)
def published_table(data: ReportData) -> Table | None:
    """Return the published scores; None where the study is of another data set."""
    plan = data.collected.plan
    classes = set(plan.classes)
    if plan.target != "bone_marrow" or not classes or not classes <= CODES:
        return None
    return Table(
        title="Published on this set",
        columns=(
            *(Column("work", "Work"), Column("network", "Network")),
            *(
                Column(f"{measure}_mean", heading, "score", std_key=f"{measure}_std")
                for measure, heading in (("precision", "Precision"), ("recall", "Recall"), ("f1", "F1"))
            ),
        ),
        rows=PUBLISHED,
        caption="Five folds, 21 classes, averaged like the scores of this study (mean ± SD as there). An anchor, not a "
        "competitor: folds, image size and recipe are not the same.",
        footnotes=_differences(data.collected),
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
