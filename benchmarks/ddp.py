"""Images/s of one stage on several workers over one worker with the same threads in all.

Both are real stages of the same specification but for its threads, a worker a core over gloo in a Ray Train run, or one
worker alone; the figures are those of their histories, the first epoch left out.
"""

from __future__ import annotations

import statistics
import tempfile
from argparse import Namespace
from pathlib import Path
from typing import Any

from support import bench, environments, pictures

MODEL = "timm/vit_small_patch16_224"
"""Without batch norm, which torch does not synchronise on CPUs."""


def main() -> None:
    """Run the stages in turn and write what came out."""
    parser = bench.arguments_of(__doc__, rounds=3)
    parser.add_argument("--model", default=MODEL)
    parser.add_argument("--batch", type=int, default=32, help="images a step, over all workers")
    parser.add_argument("--images", type=int, default=512, help="how many there are: 8 in 15 train")
    parser.add_argument("--epochs", type=int, default=3)
    asked = parser.parse_args()
    if asked.tiny:
        asked.images, asked.rounds, asked.epochs, asked.model = 128, 1, 2, "torchvision/squeezenet1_1"
    from sweep.engine.ray_session import ray_session

    with tempfile.TemporaryDirectory(prefix="ddp-") as folder, ray_session(None):
        taken: dict[str, list[bench.Answer]] = {"alone": [], "workers": []}
        for number in range(asked.rounds):
            for name in list(taken)[:: 1 if number % 2 == 0 else -1]:
                taken[name].append(stage(asked, Path(folder, f"{name}-{number}"), name == "workers"))
                environments.say(f"{name:8} round {number + 1}: {taken[name][-1]}")
    if asked.tiny:
        return
    mine, alone = bench.middle(taken["workers"]), bench.middle(taken["alone"])
    count = environments.cores()
    bench.record(
        "several workers",
        [
            bench.ResultLine(
                f"{mine:.1f} images/s on {count} gloo workers of 1 thread",
                f"1 worker of {count} threads",
                f"{alone:.1f} images/s",
                mine / alone,
                0.9,
            )
        ],
        [
            f"{asked.model}, bf16, batches of {asked.batch} at 224 px; images/s, median and range of {asked.rounds} rounds: "
            + "; ".join(f"{name} {bench.spread(bench.figures(answers), digits=1)}" for name, answers in taken.items()),
            "the same work: " + ", ".join([bench.same(taken, "images"), bench.same(taken, "loss", 0.02)]),
        ],
        {"ray": environments.version_of("ray")},
    )


def stage(asked: Namespace, folder: Path, several: bool) -> bench.Answer:
    """Run one stage.

    Args:
        asked: the command line.
        folder: where its study lies.
        several: whether it runs on several workers.

    Returns:
        the median images/s of its later epochs, images an epoch, and the first train loss.
    """
    from trainables.data.splits.splits import SplitSpec, cross_validation
    from trainables.runtime import RuntimeContext, Workers
    from trainables.specs import ModelSpec, RandomWeights, Recipe, Stage, StageData
    from trainables.stage.run import run_stage
    from trainables.store.storage import Storage
    from trainables.store.study import Study

    data = pictures.packed(pictures.folder(asked.data, asked.images))
    split = cross_validation("pictures", data, SplitSpec(folds=3))
    study = Study(Storage(folder))
    study.write_split(split.digest, split.table)
    count = environments.cores()
    order = Stage(
        kind="finetune",
        name="ddp",
        architecture="ddp",
        scenario="Random",
        fold=0,
        learning_rate=0.001,
        seed=0,
        split=split.digest,
        upstream=(),
        model=ModelSpec(model=asked.model),
        initial=RandomWeights(),
        data=StageData(name="pictures", fingerprint=data.fingerprint, classes=data.classes, size=data.size),
        recipe=Recipe(epochs=asked.epochs, batch_size=asked.batch, precision="bf16", threads=1 if several else count),
    )
    workers = Workers(count=count if several else 1, cpus=1 if several else count)
    for _ in run_stage(order, study, RuntimeContext({"pictures": str(data.folder)}, {}), workers=workers):
        pass
    history: list[dict[str, Any]] = [
        row
        for row in study.storage.read_table(f"stages/{order.folder}/history.parquet").to_pylist()
        if row["split"] == "train"
    ]
    rows = split.table.to_pylist()
    return {
        "figure": statistics.median(row["images_per_second"] for row in history[1:]),
        "images": sum(row["split"] == "train" and row["fold"] == 0 for row in rows),
        "loss": history[0]["loss"],
    }


if __name__ == "__main__":
    main()
