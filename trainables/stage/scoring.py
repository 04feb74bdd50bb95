"""End of a stage that trains: score the selected epoch once, write the files, commit."""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Iterator
from typing import Any

import pyarrow as pa
from torch import nn

from trainables.data.loading.batches import Part
from trainables.models.weights import pack_weights
from trainables.stage.result import StageOutcome, commit
from trainables.stage.setup import Setup
from trainables.stage.task import StageProgress
from trainables.store import layout
from trainables.store.study import SELECTED_ON
from trainables.training.epoch import EpochRecord
from trainables.training.evaluation import Evaluator, Logits
from trainables.training.heartbeat import with_heartbeat
from trainables.training.metrics import confusion, summary
from trainables.training.trainer import Trainer


def score_and_commit(setup: Setup, training: Trainer) -> Iterator[StageProgress]:
    """Score the selected weights on val and test, write all files, and commit; yield progress meanwhile.

    Args:
        setup: what the stage works with.
        training: at its end.
    """
    started = time.perf_counter()
    module = training.train_step.module
    module.load_state_dict(training.best_state)
    alive = StageProgress(len(training.epochs), setup.stage.recipe.epochs)
    metrics, predictions = yield from with_heartbeat(_score(setup, module), training.heartbeat, alive)
    if not setup.distributed.is_main or setup.task.folder.result() is not None:
        return  # only the main worker writes; and if another process was quicker, its result stays
    digests = _write_files(setup, training, predictions)
    outcome = StageOutcome(
        selected_on=SELECTED_ON,
        selected_epoch=training.best.epoch,
        learning_rate=setup.learning_rate,
        metrics=metrics,
        weights="kept" if layout.WEIGHTS in digests else "dropped: keep_weights is pretrain",
    )
    scoring = time.perf_counter() - started
    commit(setup, outcome, digests, sum(epoch.seconds for epoch in training.epochs) + scoring)
    setup.task.log.say(f"done: epoch {training.best.epoch} of {len(training.epochs)} chosen on {SELECTED_ON}")


def _score(setup: Setup, module: nn.Module) -> Generator[None, None, tuple[dict[str, float], pa.Table]]:
    """Score each part but train once, with the selected weights; return flat metrics and the predictions."""
    metrics: dict[str, float] = {}
    tables = []
    evaluator = Evaluator(setup.input_spec, setup.stage.recipe, setup.distributed)
    for name, part in setup.parts.items():
        if name == "train":
            continue
        logits, measured = yield from evaluator.evaluate(module, part)
        scores = summary(confusion(part.labels, logits.argmax(1), logits.shape[1]))
        found = {"loss": measured["loss"], **scores, **measured}
        # A metric that is undefined on a part is left out: JSON has no NaN.
        metrics |= {f"{name}_{measure}": value for measure, value in found.items() if math.isfinite(value)}
        tables.append(_predictions(name, part, logits))
    return metrics, pa.concat_tables(tables)


def _predictions(name: str, part: Part, logits: Logits) -> pa.Table:
    classes = logits.shape[1]
    return pa.table(
        {
            "image_id": part.data.index.column("image_id").take(pa.array(part.rows)),
            "split": pa.array([name] * len(part), pa.string()),
            "label": part.labels,
            "logits": pa.FixedSizeListArray.from_arrays(pa.array(logits.reshape(-1), pa.float32()), classes),
        }
    )


def _write_files(setup: Setup, training: Trainer, predictions: pa.Table) -> dict[str, str]:
    """Write the files that the kind of stage and the retention rule ask for; return the SHA-256 of each."""
    files, kind = setup.task.folder.files, setup.stage.kind
    digests = {layout.HISTORY: files.write_table(layout.HISTORY, history_table(training.epochs))}
    if kind == "finetune":
        digests[layout.PREDICTIONS] = files.write_table(layout.PREDICTIONS, predictions)
    if kind == "pretrain" or setup.task.runtime.keep_weights == "all":
        digests[layout.WEIGHTS] = files.write(layout.WEIGHTS, pack_weights(training.best_state))
    return digests


def history_table(epochs: list[EpochRecord]) -> pa.Table:
    """Return ``history.parquet``: one row per epoch and part."""
    rows: list[dict[str, Any]] = [
        {
            "epoch": e.epoch,
            "split": part,
            **dict.fromkeys(e.val),  # the recipe's own metrics are not measured on train
            **measures,
            "learning_rate": e.learning_rate,
            "images_per_second": e.images_per_second,
            "seconds": e.seconds,
        }
        for e in epochs
        for part, measures in (("train", e.train), ("val", e.val))
    ]
    return pa.Table.from_pylist(rows)
