"""Names of the files and folders of a study, each once. The contract is in ``docs/architecture.md``."""

from __future__ import annotations

STUDY = "study.json"
GRID = "grid.yaml"
PLAN = "plan.json"
SELECTION = "selection.parquet"
DATA_PROBLEMS = "data_problems.parquet"
SPLITS = "splits"
STAGES = "stages"

RUNNING = "running.json"
"""State of the run, written by the driver every few seconds."""
DRIVER = ".driver.json"
"""The driver that holds the study; removed when it ends."""

STAGE = "stage.json"
"""Written first: the full specification of the stage."""
RESULT = "result.json"
"""Written last: the commit marker."""
FAILURE = "failure.json"
RETIRED = "retired.json"
"""A result that was withdrawn, with the reason."""
WEIGHTS = "weights.safetensors"
HISTORY = "history.parquet"
CURVE = "curve.parquet"
PREDICTIONS = "predictions.parquet"
LOG = "log.txt"
WANDB = "wandb.json"
"""The W&B run of the stage."""
RECORDS = frozenset({STAGE, RESULT, FAILURE, RETIRED})
"""What says what a stage is and how it ended: never among the files that a result has digests of."""

REPORT_PAGE = "report/index.html"
REPORT_TABLES = "report/tables"
REPORT_FIGURES = "report/figures"


def split_file(digest: str) -> str:
    """Return the path of a split below the study."""
    return f"{SPLITS}/{digest}.parquet"


def stage_file(folder: str, file: str = "") -> str:
    """Return the path, below the study, of a stage's folder or of a file in it.

    Args:
        folder: name of the stage's folder.
        file: name of the file; empty: the folder itself.
    """
    return f"{STAGES}/{folder}/{file}".rstrip("/")
