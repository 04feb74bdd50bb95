"""One stage from its specification to its committed folder. The same code in a sweep, alone, or under a debugger."""

from __future__ import annotations

import hashlib
import logging
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import torch

from trainables import scores
from trainables.backbones import Backbone, State, build
from trainables.checkpoint import FILE as CHECKPOINT
from trainables.checkpoint import Checkpoint
from trainables.data.batches import Input, Part
from trainables.data.packed import Packed, load
from trainables.environment import describe
from trainables.fit import Epoch, Logits, StageError, Training, evaluate
from trainables.identity import derive_seed
from trainables.site import Site
from trainables.specs import FileWeights, Stage, StageWeights
from trainables.study import SELECTED_ON, StageFolder, Study
from trainables.weights import pack_weights, read_weights, unpack_weights


@dataclass(frozen=True)
class Progress:
    """What a running stage says after each epoch."""

    epoch: int
    epochs: int
    seconds: float
    val_f1_macro: float
    images_per_second: float


def run_stage(stage: Stage, study: Study, site: Site, attempt: int = 1) -> Iterator[Progress]:
    """Run a stage and commit its result; yield after each epoch. A stage that is committed already does nothing.

    Raises:
        Exception: whatever went wrong, after it was written to ``failure.json`` and ``log.txt``.
    """
    folder = study.folder(stage)
    if folder.result() is not None:
        folder.remove(CHECKPOINT)  # of a stage that was killed between its result and this
        return
    log = _Log(stage)
    try:
        folder.begin(stage)
        yield from _work(stage, study, site, folder, log)
    except Exception as error:
        log.say(f"failed: {type(error).__name__}: {error}")
        folder.fail(type(error).__name__, str(error), "".join(traceback.format_exception(error)), attempt)
        raise
    finally:
        folder.write("log.txt", log.content())


def _work(stage: Stage, study: Study, site: Site, folder: StageFolder, log: _Log) -> Iterator[Progress]:
    device = _prepare_process(stage)
    data = load(Path(site.data[stage.data.name]))
    _refuse_other_data(stage, data)
    parts = _parts(stage, study, data)
    torch.manual_seed(derive_seed("weights", stage.seed, stage.fold))
    backbone = build(stage.model, stage.recipe.image_size, len(data.classes))
    upstream = _start_from(stage, study, site, backbone)
    want = Input(stage.recipe.image_size, backbone.mean, backbone.std, device)
    log.say(
        f"{len(parts['train'])} train and {len(parts['val'])} val images of {stage.data.name}; {device}; from {stage.initial.source} weights"
    )
    training = Training(
        backbone, stage.recipe, stage.learning_rate, stage.seed, stage.fold, want, parts["train"], parts["val"]
    )
    checkpoint = Checkpoint(folder, str(stage.key), site.checkpoint_seconds)
    resumed = checkpoint.load()
    if resumed is not None:
        log.say(f"resumed after epoch {len(resumed['epochs']) - 1}")
    for epoch in training.run(resumed):
        log.epoch(epoch)
        checkpoint.save(training.state())
        yield Progress(
            epoch.epoch + 1, stage.recipe.epochs, epoch.seconds, epoch.val["f1_macro"], epoch.images_per_second
        )
    if folder.result() is None:  # another process may have been quicker: the first result stands
        _finish(stage, folder, site, training, parts, upstream)
        log.say(f"done: epoch {training.best.epoch} of {len(training.epochs)} chosen on {SELECTED_ON}")
    checkpoint.discard()


def _finish(
    stage: Stage, folder: StageFolder, site: Site, training: Training, parts: dict[str, Part], upstream: dict[str, str]
) -> None:
    """Score the selected weights once, write all files, and commit."""
    started = time.perf_counter()
    training.backbone.module.load_state_dict(training.best_state)
    digests = {"history.parquet": folder.write_table("history.parquet", history_table(training.epochs))}
    scored = {name: part for name, part in parts.items() if name != "train"}
    metrics, predictions = _score(training.backbone, scored, training.want, stage)
    if stage.kind == "finetune":
        digests["predictions.parquet"] = folder.write_table("predictions.parquet", predictions)
    if site.keep_weights == "all" or stage.kind == "pretrain":
        digests["weights.safetensors"] = folder.write("weights.safetensors", pack_weights(training.best_state))
    scoring = time.perf_counter() - started
    folder.commit(
        {
            "status": "done",
            "key": stage.key,
            "selected_on": SELECTED_ON,
            "selected_epoch": training.best.epoch,
            "learning_rate": stage.learning_rate,
            "classes": list(stage.data.classes),
            "metrics": metrics,
            "digests": digests,
            "upstream_digests": upstream,
            "weights": "kept" if "weights.safetensors" in digests else "dropped: keep_weights is pretrain",
            "environment": describe(training.want.device, stage.recipe, world_size=1),
            "seconds": sum(epoch.seconds for epoch in training.epochs) + scoring,
        }
    )


def _prepare_process(stage: Stage) -> torch.device:
    torch.set_num_threads(stage.recipe.threads)
    cv2.setNumThreads(stage.recipe.threads)
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _refuse_other_data(stage: Stage, data: Packed) -> None:
    if data.fingerprint != stage.data.fingerprint:
        raise StageError(
            f"the prepared data set {stage.data.name} at {data.folder} has the fingerprint {data.fingerprint[:16]}, the stage wants {str(stage.data.fingerprint)[:16]}"
        )


def _parts(stage: Stage, study: Study, data: Packed) -> dict[str, Part]:
    """Return the parts of the stage's fold. The split names images; rows of the packed form may be in another order."""
    table = study.read_split(str(stage.split))
    fold = 0 if stage.fold is None else stage.fold
    mask = table.column("fold").to_numpy() == fold
    ids = np.array(table.column("image_id").to_pylist(), dtype=object)[mask]
    names = np.array(table.column("split").to_pylist(), dtype=object)[mask]
    row_of = {image_id: row for row, image_id in enumerate(data.index.column("image_id").to_pylist())}
    wanted = ("train", "val", "test") if stage.kind == "finetune" else ("train", "val")
    return {name: Part(data, np.array([row_of[i] for i in ids[names == name]], dtype=np.int64)) for name in wanted}


def _start_from(stage: Stage, study: Study, site: Site, backbone: Backbone) -> dict[str, str]:
    """Load the initial weights; return the digests of those that came from upstream."""
    if isinstance(stage.initial, FileWeights):
        file = Path(site.weights[str(stage.initial.sha256)])
        with file.open("rb") as stream:
            if hashlib.file_digest(stream, "sha256").hexdigest() != stage.initial.sha256:
                raise StageError(f"{file} is not the file of weights that was planned: its SHA-256 differs")
        backbone.load_backbone(read_weights(file), str(file))
    elif isinstance(stage.initial, StageWeights):
        state, digest = _upstream_weights(study.find(str(stage.initial.key)))
        backbone.load_backbone(state, f"stage {str(stage.initial.key)[:16]}")
        return {str(stage.initial.key): digest}
    return {}


def _upstream_weights(folder: StageFolder) -> tuple[State, str]:
    result = folder.result()
    if result is None:
        raise StageError(f"the upstream stage {folder.name} has no result")
    return unpack_weights(folder.read_verified("weights.safetensors", result)), str(
        result["digests"]["weights.safetensors"]
    )


def _score(backbone: Backbone, parts: dict[str, Part], want: Input, stage: Stage) -> tuple[dict[str, float], pa.Table]:
    """Score each part once, with the selected weights; return flat metrics and the predictions."""
    metrics: dict[str, float] = {}
    tables = []
    for name, part in parts.items():
        logits, measured = evaluate(backbone.module, part, want, stage.recipe)
        matrix = scores.confusion(part.labels, logits.argmax(1), logits.shape[1])
        metrics |= {
            f"{name}_loss": measured["loss"],
            **{f"{name}_{measure}": value for measure, value in scores.summary(matrix).items()},
        }
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


def history_table(epochs: list[Epoch]) -> pa.Table:
    """Return ``history.parquet``: one row an epoch and part."""
    rows: list[dict[str, Any]] = [
        {
            "epoch": e.epoch,
            "split": part,
            **shown,
            "learning_rate": e.learning_rate,
            "images_per_second": e.images_per_second,
            "seconds": e.seconds,
        }
        for e in epochs
        for part, shown in (("train", e.train), ("val", e.val))
    ]
    return pa.Table.from_pylist(rows)


class _Log:
    """The stage's own log: kept in memory, in the folder when the stage ends, and passed on to Python's logging."""

    def __init__(self, stage: Stage) -> None:
        self._lines: list[str] = []
        self._logger = logging.getLogger("trainables.stage")
        self.say(f"{stage.kind} {stage.name}, key {stage.key}, learning rate {stage.learning_rate:g}")

    def say(self, text: str) -> None:
        line = f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}"
        self._lines.append(line)
        self._logger.debug(line)

    def epoch(self, e: Epoch) -> None:
        self.say(
            f"epoch {e.epoch}: train loss {e.train['loss']:.4f} f1 {e.train['f1_macro']:.3f}; val loss {e.val['loss']:.4f} "
            f"f1 {e.val['f1_macro']:.3f}; rate {e.learning_rate:g}; {e.images_per_second:.0f} images/s"
        )

    def content(self) -> bytes:
        return ("\n".join(self._lines) + "\n").encode()
