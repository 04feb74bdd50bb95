"""The methods paragraph for a paper."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from analysis.formats.number_format import rate_text
from analysis.results.collect import Collected
from analysis.results.plan_file import PlannedStage
from analysis.stats.study_summary import StudyDesign, design, environment
from trainables.specs import Recipe
from trainables.store import layout
from trainables.store.arrow import read_parquet
from trainables.store.study import SELECTED_ON, StageFolder, Study

VERSIONS = ("python", "torch", "torchvision", "timm", "ray", "numpy")
COMMIT_LETTERS = 12
EPOCH_TIES = {
    "earliest": ", the earliest on a tie",
    "val_loss": ", on a tie the one of lower val loss, then the later",
}
NAMES = {"sgd": "SGD", "adamw": "AdamW"}


def methods(collected: Collected, proof: str) -> str:
    """Return design, splits, training, selection and software of a study as a paragraph.

    Args:
        collected: the study.
        proof: properties of the split, from ``split_proof``.
    """
    planned = design(collected)
    known = {setting.name: setting.text for setting in environment(collected)}
    sentences = (
        *_compared(collected, planned),
        *_splits(collected, planned, proof),
        *_training(collected),
        *_selection(collected),
        *_software(known),
        "Scores follow Glüge et al. (2024), supplement 1.1, with ddof = 1 and 0/0 = 0. Every figure was recomputed "
        "from the stored logits, after their digests, split and selection rule had been verified.",
    )
    return " ".join(sentences)


def split_proof(study: Study, collected: Collected) -> str:
    """Check the split and return in words what holds for it, or what is wrong with it.

    Args:
        study: the study.
        collected: the same, as read.
    """
    split = collected.split
    if split.fault is not None:
        return ""
    from trainables.data.splits.verification import verify_split

    try:
        return verify_split(read_parquet(study.storage.read(layout.split_file(split.digest))))
    except (ValueError, OSError) as error:
        return str(error)


def _compared(collected: Collected, planned: StudyDesign) -> Iterator[str]:
    images = "" if planned.images is None else f", {planned.images:,} images"
    yield (
        f"{_count(planned.architectures, 'architecture')} ({', '.join(planned.architectures)}) and "
        f"{_count(planned.scenarios, 'scenario')} of initial weights ({', '.join(planned.scenarios)}) were compared on "
        f"{collected.plan.target} ({len(planned.classes)} classes{images}) by {len(planned.folds)}-fold cross-validation, "
        f"with {_count(planned.seeds, 'seed')} ({', '.join(map(str, planned.seeds))})."
    )
    cells, verified = len(collected.plan.cells), len(collected.cells)
    if verified < cells:
        yield f"Of {cells} planned fine-tuning runs {verified} count."
    pretrained = [stage for stage in collected.plan.stages if stage.kind == "pretrain"]
    if pretrained:
        noun = "pre-training" if len(pretrained) == 1 else "pre-trainings"
        yield f"{len(pretrained)} {noun} served all folds of the scenarios that start from them."


def _splits(collected: Collected, planned: StudyDesign, proof: str) -> Iterator[str]:
    if planned.images is None:
        yield "The split could not be read."
        return
    if planned.grouped:
        yield "Folds are stratified by class and keep the images of a group together."
    else:
        yield (
            "Folds are stratified by class and drawn on images: no groups are known, so images of one patient may lie "
            "on both sides of a split."
        )
    sizes = sorted(collected.split.train_images.values())
    if sizes and sizes[-1]:
        span = f"{sizes[0]:,}" if sizes[0] == sizes[-1] else f"{sizes[0]:,} to {sizes[-1]:,}"
        yield f"A fold trains on {span} images; its val part is drawn from what is not tested."
    if proof:
        yield f"Checked on the table of the split: {proof.rstrip('.')}."


def _training(collected: Collected) -> Iterator[str]:
    """Yield a sentence per recipe; if architectures differ in it, with their names."""
    of_recipe: dict[str, dict[str, None]] = {}
    for cell in collected.cells:
        of_recipe.setdefault(_recipe(cell.stage.recipe), {})[cell.planned.architecture] = None
    for recipe, architectures in of_recipe.items():
        whose = f" of {', '.join(architectures)}" if len(of_recipe) > 1 else ""
        yield f"Fine-tuning{whose}: {recipe}."


def _recipe(recipe: Recipe) -> str:
    parts = [
        _optimizer(recipe),
        f"{recipe.epochs} epochs",
        f"batch {recipe.batch_size}",
        f"{recipe.decay} learning rate{_options(recipe.decay_options)}",
        f"images of {recipe.image_size} px",
    ]
    parts += [f"warm-up (epochs: {rate_text(recipe.warmup_epochs)})"] if recipe.warmup_epochs else []
    parts += ["classes weighted by frequency"] if recipe.class_weights == "balanced" else []
    parts += [f"label smoothing {rate_text(recipe.label_smoothing)}"] if recipe.label_smoothing else []
    if recipe.stopping != "patience":
        parts.append(f"early stopping by the rule {recipe.stopping}{_options(recipe.stopping_options)}")
    elif recipe.patience:
        parts.append(f"early stopping after {recipe.patience} epochs without a better val score")
    operations = [f"{one.name}{_options(one.options)}" for one in recipe.augmentation.operations]
    parts += [f"augmented further by {', '.join(operations)}"] if operations else []
    return ", ".join(parts)


def _optimizer(recipe: Recipe) -> str:
    """Name an optimizer with its settings; of one that is not the project's own, those that are its options."""
    if recipe.optimizer not in NAMES:
        return f"{recipe.optimizer}{_options(recipe.optimizer_options)}"
    momentum = "beta1" if recipe.optimizer == "adamw" else "momentum"
    return (
        f"{NAMES[recipe.optimizer]} ({momentum} {rate_text(recipe.momentum)}, weight decay "
        f"{rate_text(recipe.weight_decay)})"
    )


def _options(options: Mapping[str, Any]) -> str:
    return f" ({', '.join(f'{name} {value}' for name, value in options.items())})" if options else ""


def _selection(collected: Collected) -> Iterator[str]:
    rates = {len(choice.candidates) for choice in collected.choices}
    tests = [stage for stage in collected.plan.stages if stage.kind == "lr_range"]
    yield (
        f"The epoch was chosen by the highest macro F1 on val ({SELECTED_ON}), on images of the fold's training part kept apart for it"
        f"{''.join(sorted({EPOCH_TIES[cell.stage.recipe.epoch_ties] for cell in collected.cells}))}; the test part was "
        "scored once, at the end."
    )
    if max(rates, default=1) > 1:
        yield (
            f"The start learning rate was chosen on {SELECTED_ON} within architecture, scenario, fold and seed, from "
            f"{' or '.join(map(str, sorted(rates)))} rates; the lower on a tie."
        )
    elif not tests:
        yield "The start learning rate was set beforehand, one for each run."
    if tests:
        yield _range_tests(collected, tests)


def _range_tests(collected: Collected, tests: list[PlannedStage]) -> str:
    rules, ramps = [], []
    for _, folder in collected.finished("lr_range"):
        choice = (folder.result() or {}).get("choice")
        if isinstance(choice, Mapping):
            rules.append(str(choice.get("rule")))
        ramps.append(_ramp(folder))
    found = f"Start rates came from {_count(tests, 'learning-rate range test')} (Smith 2017)"
    found += f", {', '.join(filter(None, dict.fromkeys(ramps)))}" if any(ramps) else ""
    found += f"; {', '.join(_counted(rules))}." if rules else "; none is finished yet."
    if _shared(collected, tests):
        found += " Some are shared by folds, so val images of one fold are test images of another."
    return found


def _shared(collected: Collected, tests: list[PlannedStage]) -> bool:
    """Return whether a range test that is not confined to the fold set the rate of a cell."""
    of_no_fold = {name for stage in tests if stage.fold is None for name in (stage.key, stage.name)}
    return any(of_no_fold & set(cell.upstream) for cell in collected.plan.cells)


def _ramp(folder: StageFolder) -> str:
    """Return a range test's ramp in words, or "" where its specification cannot be read."""
    try:
        ramp = folder.stage().get("ramp")
    except (OSError, ValueError, TypeError):
        return ""
    if not isinstance(ramp, Mapping) or not {"start", "end", "steps", "loss"} <= ramp.keys():
        return ""
    start, end = (
        rate_text(ramp[end]) if isinstance(ramp[end], int | float) else str(ramp[end]) for end in ("start", "end")
    )
    spacing = f"{ramp['mode']} " if ramp.get("mode") in ("linear", "exponential") else ""
    return f"{start} to {end} in {ramp['steps']} {spacing}steps on the {ramp['loss']} loss"


def _software(known: Mapping[str, str]) -> Iterator[str]:
    versions = [f"{name} {known[f'versions.{name}']}" for name in VERSIONS if f"versions.{name}" in known]
    if versions:
        commit = known.get("commit", "None")
        at = "" if commit == "None" or "," in commit else f", code at commit {commit[:COMMIT_LETTERS]}"
        yield f"Software: {', '.join(versions)}{at}."
    parts = [known["device"]] if "device" in known else []
    parts += [f"precision {known['precision']}"] if "precision" in known else []
    parts += [f"{known['world_size']} workers a run"] if known.get("world_size", "1") != "1" else []
    parts += [f"CPU threads: {known['threads']}"] if "threads" in known else []
    if parts:
        yield f"It ran on {', '.join(parts)}."


def _counted(rules: list[str]) -> list[str]:
    return [f"{rules.count(rule)} by the rule {rule}" for rule in dict.fromkeys(rules)]


def _count(items: Any, noun: str) -> str:
    return f"{len(items)} {noun}{'' if len(items) == 1 else 's'}"
