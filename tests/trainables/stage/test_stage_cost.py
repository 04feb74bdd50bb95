"""What a stage costs in counts that no busy machine changes: batches, bytes, allocations, files, listings.

A count that grows is a regression even where no clock shows it. One that must grow is changed here, with its reason.
"""

from __future__ import annotations

import sys
import tracemalloc
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from tests.trainables.support.stage_bench import Bench, run
from trainables.data.loading.batches import InputSpec, Part, TrainingBatches
from trainables.data.packing import decode
from trainables.data.packing.prepare import Packed, prepare
from trainables.data.readers.builtin.image_folder import ImageFolder
from trainables.specs import Augmentation, Stage
from trainables.store.storage import Storage
from trainables.training.evaluation import Evaluator

EPOCHS, BATCH = 3, 8
TRANSFERS = ("read", "write", "exists", "names", "files", "remove")


class Opened:
    """Counts the files that this process opens below a folder (an audit hook cannot be taken back, only stilled)."""

    def __init__(self) -> None:
        self.below: str | None = None
        self.names: Counter[str] = Counter()
        sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.below is not None and event == "open" and str(arguments[0]).startswith(self.below):
            self.names[Path(str(arguments[0])).name] += 1


OPENED = Opened()


@pytest.fixture
def count(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Counter[str]]:
    """Count the calls of methods, and what ``size`` says of each result."""

    def watch(owner: Any, *names: str, size: Callable[[Any], int] | None = None) -> Counter[str]:
        calls: Counter[str] = Counter()
        for name in names:
            method = getattr(owner, name)

            def counted(*given: Any, _method: Any = method, _name: str = name, **named: Any) -> Any:
                result = _method(*given, **named)
                calls[_name] += 1
                if size is not None:
                    calls["size"] += size(result)
                return result

            monkeypatch.setattr(owner, name, counted)
        return calls

    return watch


@pytest.fixture
def stage(bench: Bench) -> Stage:
    return bench.stage(scenario="Random", recipe={"epochs": EPOCHS, "batch_size": BATCH})


def images_of(bench: Bench, stage: Stage) -> dict[str, int]:
    rows = bench.cell_split.table.to_pylist()
    return dict(Counter(row["split"] for row in rows if row["fold"] == stage.fold))


def test_each_image_is_gathered_as_often_as_the_recipe_says(
    bench: Bench, stage: Stage, tmp_path: Path, count: Callable[..., Counter[str]]
) -> None:
    all_gather = count(Packed, "gather", size=lambda images: images.nbytes)
    run(stage, bench.study(tmp_path), bench.runtime)
    images = images_of(bench, stage)
    steps = images["train"] // BATCH
    # Val is scored after each epoch and, with the chosen weights, once more, as the test part is.
    assert all_gather["gather"] == EPOCHS * (steps + 1) + 2
    seen = EPOCHS * steps * BATCH + (EPOCHS + 1) * images["val"] + images["test"]
    assert all_gather["size"] == seen * bench.cells.size**2 * 3, "bytes copied from the packed file"


def test_images_are_decoded_once_and_never_by_a_stage(
    bench: Bench, stage: Stage, tmp_path: Path, count: Callable[..., Counter[str]]
) -> None:
    folder = tmp_path / "pictures"
    for number in range(6):
        file = folder / "ab"[number % 2] / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (number, 0, 0)).save(file)
    decoded = count(decode, "read")
    spec = ImageFolder(reader="image_folder", path="pictures")
    for _ in range(2):
        prepare("pictures", spec, tmp_path, tmp_path / "cache")
    run(stage, bench.study(tmp_path / "study"), bench.runtime)
    assert decoded["read"] == 6


def test_a_stage_computes_no_more_than_its_steps_and_scores(
    bench: Bench, stage: Stage, tmp_path: Path, count: Callable[..., Counter[str]]
) -> None:
    backward, steps = count(torch.Tensor, "backward"), count(torch.optim.SGD, "step")
    scored = count(Evaluator, "evaluate")
    run(stage, bench.study(tmp_path), bench.runtime)
    wanted = EPOCHS * (images_of(bench, stage)["train"] // BATCH)
    assert backward["backward"] == steps["step"] == wanted
    assert scored["evaluate"] == EPOCHS + 2, "val after each epoch; val and test with the selected weights"


def test_a_stage_reads_and_writes_no_more_files_than_it_needs(
    bench: Bench, stage: Stage, tmp_path: Path, count: Callable[..., Counter[str]]
) -> None:
    study = bench.study(tmp_path / "study")
    run(stage.model_copy(update={"learning_rate": 0.04}), study, bench.runtime)  # imports and caches
    calls = count(Storage, *TRANSFERS)
    OPENED.names.clear()
    OPENED.below = str(tmp_path)
    run(stage, study, bench.runtime)
    OPENED.below = None
    # stage.json, history, predictions, weights, result.json, log.txt
    assert calls["write"] == 6
    assert sum(OPENED.names.values()) == 6 + 1, f"with the split, each is opened once: {OPENED.names}"
    # Is it there already: once at the start, twice before it is written (two processes may race). And the split.
    assert calls["read"] <= 5
    assert calls["names"] <= 1, "a listing of all stages is paid by every stage"
    assert calls["files"] == 0
    assert calls["exists"] <= 6


@pytest.mark.parametrize("epochs", [1, 4])
def test_files_do_not_grow_with_epochs(
    bench: Bench, stage: Stage, tmp_path: Path, count: Callable[..., Counter[str]], epochs: int
) -> None:
    recipe = stage.recipe.model_copy(update={"epochs": epochs})
    calls = count(Storage, "write")
    run(stage.model_copy(update={"recipe": recipe}), bench.study(tmp_path), bench.runtime)
    assert calls["write"] == 8, "two splits, and the six files of the stage"


def test_batches_of_an_epoch_take_the_memory_of_a_few(bench: Bench) -> None:
    part = Part(bench.cells, bench.cells.image_numbers.argsort())
    input_spec = InputSpec(32, (0.5,) * 3, (0.5,) * 3, torch.device("cpu"))

    def epoch() -> int:
        return sum(1 for _ in TrainingBatches(part, input_spec, Augmentation(), BATCH, 0, 0).epoch(0))

    epoch()  # maps the file, fills caches
    tracemalloc.start()
    try:
        batches = epoch()
        kept, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    raw = BATCH * bench.cells.size**2 * 3
    assert batches >= 4
    assert kept < raw, "nothing of an epoch stays"
    # Gathered, changed, as floats (4 bytes a value), and what the change of one image needs. torch's own is not traced.
    assert peak < 12 * raw
