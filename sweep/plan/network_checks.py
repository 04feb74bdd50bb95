"""What is looked at before any stage: files of weights and classes of the user's by a plan, every network by a run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from sweep.grid.grid import Grid
from sweep.plan.inputs import Inputs, WeightsFile
from trainables.data.splits.splits import Split
from trainables.errors import UserError
from trainables.models.complexity import Complexity, known, remember
from trainables.models.inspection import Answer, Question, ask
from trainables.models.weights_file import WeightsSummary, format_of, safetensors_shapes, summary
from trainables.specs import FileWeights, ModelSpec, Recipe, Stage

MEMORY = "networks.json"
"""In the cache folder: what was found of networks and weights before."""


def count_own_networks(grid: Grid, memory: Path) -> list[str]:
    """Count the classes of the user's, so that estimates and ``precision: auto`` know them; return what is wrong.

    Args:
        grid: what is to be done.
        memory: file of earlier answers.
    """
    own = [(name, model) for name, model in grid.models.items() if model.model not in known()]
    asked = [
        Question("count", subject(name, model), {"model": model.model_dump(), "edge": grid.image_size(name)})
        for name, model in own
    ]
    answers = ask(asked, memory)
    for (_, model), answer in zip(own, answers, strict=True):
        if answer.fault is None:
            remember(model, Complexity(*answer.value))
    return _faults(answers)


def look_at_weights(inputs: Inputs, memory: Path) -> None:
    """Read what every file of weights says of itself; one that cannot be used is then missing.

    Args:
        inputs: with the files that were found; changed in place.
        memory: file of earlier answers.
    """
    waiting: list[tuple[tuple[str, str], Question]] = []
    for name, file in list(inputs.weights.items()):
        try:
            if format_of(file.path) == "torch":
                question = Question("read", _of(name), {}, file.path.absolute(), file.sha256)
                waiting.append((name, question))
            else:
                inputs.weights[name] = replace(file, holds=summary(safetensors_shapes(file.path)))
        except UserError as error:
            _take_out(inputs, name, f"{_of(name)}: {error}")
    for (name, _), answer in zip(waiting, ask([question for _, question in waiting], memory), strict=True):
        if answer.fault is not None:
            _take_out(inputs, name, answer.fault)
        else:
            tensors, numbers, notes = answer.value
            inputs.weights[name] = replace(inputs.weights[name], holds=WeightsSummary(tensors, numbers, tuple(notes)))


def _of(name: tuple[str, str]) -> str:
    start, architecture = name
    return f"weights {start} of {architecture}"


def _take_out(inputs: Inputs, name: tuple[str, str], fault: str) -> None:
    del inputs.weights[name]
    inputs.missing.append(fault)


def trials(stages: Iterable[Stage], inputs: Inputs) -> list[Question]:
    """Return the forward passes that show whether stages can train: one for each network, size, batch and weights.

    Args:
        stages: those to do.
        inputs: their splits and weights.
    """
    files = {file.sha256: file for file in inputs.weights.values()}
    images = {split.digest: _fewest_train_images(split) for split in inputs.splits.values()}
    found: dict[str, Question] = {}
    for stage in stages:
        file: WeightsFile | None = None
        if isinstance(stage.initial, FileWeights):
            file = files.get(str(stage.initial.sha256))
        content = {
            "model": stage.model.model_dump(),
            "edge": stage.recipe.image_size,
            "classes": len(stage.data.classes),
            "batches": batches(stage.recipe, images.get(str(stage.split), stage.recipe.batch_size)),
        }
        path, sha256 = (file.path.absolute(), file.sha256) if file else (None, None)
        found.setdefault(
            repr((content, sha256)), Question("try", subject(stage.architecture, stage.model), content, path, sha256)
        )
    return list(found.values())


def batches(recipe: Recipe, images: int) -> list[int]:
    """Return how many images a network is given at once: a whole batch or micro-batch, and what is left of a batch.

    Args:
        recipe: of the stage.
        images: training images of a fold: with less than a batch of them, they are the batch.
    """
    batch = min(recipe.batch_size, images)
    at_once = min(recipe.micro_batch or batch, batch)
    return [size for size in (at_once, batch % at_once) if size]


def try_networks(questions: Sequence[Question], memory: Path) -> list[str]:
    """Make the forward passes; return what is wrong, a sentence for each network.

    Args:
        questions: as ``trials`` returns them.
        memory: file of earlier answers.
    """
    return list(dict.fromkeys(_faults(ask(questions, memory))))


def subject(architecture: str, model: ModelSpec) -> str:
    """Return how messages call a network.

    Args:
        architecture: its name in the grid.
        model: the network.
    """
    return f"network {architecture}" if architecture == model.model else f"network {architecture} ({model.model})"


def _faults(answers: Iterable[Answer]) -> list[str]:
    return [answer.fault for answer in answers if answer.fault is not None]


def _fewest_train_images(split: Split) -> int:
    import pyarrow.compute as pc

    train = split.table.filter(pc.equal(split.table.column("split"), "train"))
    counts = pc.value_counts(train.column("fold")).field("counts").to_pylist()
    return max(1, min(counts, default=1))


def weights_lines(grid: Grid, inputs: Inputs) -> Iterator[str]:
    """Yield a line for each file of weights: where it is, what it holds, and what is done to it.

    Args:
        grid: that names them.
        inputs: the files that were found and looked at.
    """
    for (start, architecture), file in inputs.weights.items():
        holds = f": {file.holds.text()}" if file.holds else ""
        source = grid.weights_source(start, architecture)
        unknown = source.file is not None and source.normalisation is None
        note = (
            "; its normalisation is not known, and taken to be that of the library's default weights" if unknown else ""
        )
        yield f"{_of((start, architecture))}: {file.path}{holds}{note}"
