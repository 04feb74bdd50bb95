"""Which rule finds the best start rate: ``python benchmarks/range_rules.py --data DATA --weights WEIGHTS [--work DIR]``.

Cells of real images at 64 px, two folds. Each network trains at every rate of one list; its range tests begin at several
rates and watch few or all val images. Every rule then chooses on the same recorded curves, also where they are cut at a
lower end or smoothed less. The criterion: val F1 after training at the chosen rate, interpolated in log rate between the
rates trained at, as a share of the best. Stages that are done are kept in ``--work``: the same command goes on.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from support import bench, environments

RATES = (2.5e-5, 1e-4, 4e-4, 1.6e-3, 6.4e-3, 2.5e-2, 0.1)
STARTS = (1e-6, 1e-5, 1e-4)
WATCHED = (8, 256)
"""Val images that a range test looks at: few (a noisy curve), and all."""
END, STEPS = 1.0, 60
SMOOTHINGS, LEAST_DROP = (0.5, 0.8, 0.9), 0.02
NETWORKS = {
    "squeezenet": ("squeezenet1_1", "ImageNet", "sgd"),
    "vit": ("vit", "Shared", "adamw"),
    "efficientnet": ("timm/tf_efficientnet_lite0", "ImageNet", "sgd"),
}
"""Name -> architecture, scenario, optimizer."""
GRID = """
edition: 1
target: bone_marrow
data:
  bone_marrow: {{reader: bone_marrow, size: 72, groups: groups.csv}}
  pcam: {{reader: pcam, size: 72}}
  cats_vs_dogs: {{reader: cats_vs_dogs, size: 72}}
split: {{folds: 5, val_fraction: 0.3}}
weights:
  imagenet:
    squeezenet1_1: {{file: torchvision-squeezenet1_1-imagenet1k.safetensors}}
    timm/tf_efficientnet_lite0: {{file: timm-tf_efficientnet_lite0-imagenet1k.safetensors}}
architectures:
  vit: {{model: timm/test_vit, options: {{patch_size: 8}}}}
scenarios:
  ImageNet: {{start: imagenet}}
  Shared: {{pretrain: [cats_vs_dogs, pcam]}}
axes:
  architecture: ["{architecture}"]
  scenario: [{scenario}]
  fold: [0, 1]
  learning_rate: {rates}
recipe: {{image_size: 64, batch_size: 16, precision: float32, optimizer: {optimizer}, epochs: 8}}
pretrain: {{epochs: 5, learning_rate: 0.001}}
keep_weights: pretrain
"""


def grids(network: str) -> list[str]:
    """Return the grids of a network: one of its trainings, one for each start and number of val images watched."""
    architecture, scenario, optimizer = NETWORKS[network]
    tests = [
        f"{{range_test: {{start: {start!r}, end: {END}, steps: {STEPS}, val_images: {watched}, rule: steepest, fallback: 0.001}}}}"
        for start in STARTS
        for watched in WATCHED
    ]
    return [
        GRID.format(architecture=architecture, scenario=scenario, optimizer=optimizer, rates=rates)
        for rates in (*tests, str(list(RATES)))
    ]


def measure(network: str, data: Path, weights: Path, work: Path) -> None:
    """Run the stages of a network that are not done yet, in this process.

    Args:
        network: one of ``NETWORKS``.
        data: folder of the data sets.
        weights: folder of the initial weights.
        work: folder of the study.
    """
    from sweep.commands.preparation import prepare
    from sweep.commands.run_options import run_options
    from sweep.commands.runtime_context import local_runtime
    from sweep.commands.study_header import write_study
    from sweep.monitor.console import Terminal
    from sweep.run import parser
    from trainables.errors import StageError
    from trainables.stage.run import run_stage

    work.mkdir(parents=True, exist_ok=True)
    for number, grid in enumerate(grids(network)):
        file = work / f"{network}-{number}.yaml"
        file.write_text(grid)
        options = run_options(
            parser().parse_args(
                [f"--grid={file}", f"--study={network}", f"--storage={work}", f"--data={data}", f"--weights={weights}"]
            )
        )
        prepared = prepare(options, Terminal())
        if prepared.inputs.missing:
            raise SystemExit("\n".join(prepared.inputs.missing))
        write_study(prepared.study, network, prepared.plan, prepared.inputs, {})
        runtime = local_runtime(prepared, 600)
        for stage in prepared.plan.stages:
            if stage.found_rate is None:
                try:
                    for _ in run_stage(stage, prepared.study, runtime):
                        pass
                except StageError as error:  # the loss became infinite: its F1 counts as 0
                    environments.say(str(error))
                environments.say(f"done: {stage.name}")


def of_kind(study: Any, kind: str) -> list[Any]:
    """Return the folders of the stages of a kind."""
    return [folder for folder in study.folders() if folder.name.startswith(f"{kind}-")]


def trained(study: Any) -> dict[int, dict[float, float]]:
    """Return fold -> rate -> val F1 after training at it; 0 where the loss became infinite."""
    found: dict[int, dict[float, float]] = {fold: dict.fromkeys(RATES, 0.0) for fold in (0, 1)}
    for folder in of_kind(study, "finetune"):
        result = folder.result()
        if result is not None:
            stage = folder.stage()
            found[stage["fold"]][stage["learning_rate"]] = result["metrics"]["val_f1_macro"]
    return found


def curves(study: Any) -> Iterator[tuple[int, Any, Any]]:
    """Yield the fold, the rates and the smoothed losses of each range test, smoothed as it was, less and more."""
    import numpy as np

    for folder in of_kind(study, "lr_range"):
        if folder.result() is None:
            continue
        table = folder.files.read_table("curve.parquet")
        rates, losses = table["learning_rate"].to_numpy(), table["loss"].to_numpy()
        for past in SMOOTHINGS:
            smoothed = np.array(losses)
            for step in range(1, len(losses)):
                smoothed[step] = past * smoothed[step - 1] + (1 - past) * losses[step]
            diverged = np.flatnonzero(smoothed > 4 * np.minimum.accumulate(smoothed))
            end = int(diverged[0]) + 1 if len(diverged) else len(smoothed)
            yield folder.stage()["fold"], rates[:end], smoothed[:end]


def rules() -> Mapping[str, Callable[[Any, Any], int]]:
    """Return name -> what gives the place of the chosen rate, from rates and smoothed losses."""
    from trainables.lr_range import suggestion as by

    def median(rates: Any, losses: Any) -> int:
        return sorted((by.halfway(losses), by.valley(losses), by.tenth(rates, losses)))[1]

    return {
        "steepest per unit of rate": by.steepest,
        "steepest per step": lambda _, losses: by.steepest_per_step(losses),
        "halfway": lambda _, losses: by.halfway(losses),
        "valley": lambda _, losses: by.valley(losses),
        "tenth of the minimum": by.tenth,
        "median of halfway, valley, tenth": median,
    }


def compare(network: str, work: Path) -> None:
    """Say, for each rule, val F1 at its choices as a share of the best, and how far its choices lie apart."""
    import numpy as np

    from trainables.store.storage import Storage
    from trainables.store.study import Study

    study = Study(Storage(str(work / network)))
    f1, chosen, shares = (
        trained(study),
        defaultdict[tuple[str, int], list[float]](list),
        defaultdict[str, list[float]](list),
    )
    for fold, rates, losses in curves(study):
        if len(rates) < 3 or 1 - losses.min() / losses[0] < LEAST_DROP:
            continue  # no rule is asked: the grid's fallback is used
        known = np.log(RATES), np.array([f1[fold][rate] for rate in RATES])
        for rule, place in rules().items():
            rate = rates[place(rates, losses)]
            shares[rule].append(float(np.interp(np.log(rate), *known) / known[1].max()))
            chosen[rule, fold].append(float(np.log10(rate)))
    for rule, found in shares.items():
        apart = np.mean([max(one) - min(one) for (of, _), one in chosen.items() if of == rule])
        environments.say(
            f"{network:12} {rule:34} {np.mean(found):.3f} of the best val F1 (least {min(found):.3f}), "
            f"{apart:.1f} decades apart, {len(found)} curves"
        )


def main() -> None:
    """Measure what is not measured yet, and compare the rules."""
    parser = bench.arguments_of(__doc__, rounds=1)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=environments.CACHE / "range_rules")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    asked = parser.parse_args()
    for network in asked.networks:
        measure(network, asked.data, asked.weights, asked.work)
        compare(network, asked.work)


if __name__ == "__main__":
    main()
