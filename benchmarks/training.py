"""Images/s of one training stage and of its evaluation: ours, a bare loop, Lightning, and what documents show.

The same network with the same first weights, the same images at 224 px, SGD; on all cores, in the
steady state. A turn is some steps, and then the scoring of some other images.

    ours        the epochs of a stage (``trainables.training.trainer``): bf16, augmented batches, val scored after each
    bare        forward, loss, backward, step over one batch in memory, bf16; the forward over another one
    lightning   a LightningModule with the best that its documentation knows for one node: bf16-mixed, channels-last, LitData's
                loader, no logger, no checkpoints, no progress bar
    found       Lightning in 15 minutes as it stands: DataLoader, ImageFolder, Trainer() with its defaults
    ray         Ray Train's guide for PyTorch as it stands: a worker a core, prepare_model, prepare_data_loader
    compiled    with --compile, beside ours alone: ours with ``recipe.compile``
    unkept      with --unkept, beside ours alone: ours, the memory of a step not kept for the next
    float32     with --float32, beside ours alone: ours in float32; the rule of ``precision: auto`` rests on it
"""

from __future__ import annotations

import math
import statistics
import time
from argparse import Namespace
from collections.abc import Callable
from typing import Any

import batches
import numpy as np
from support import bench, environments, pictures
from support.workload import EDGE, MOMENTUM, NETWORKS, RATE, Work

Turn = Callable[[str], bench.Answer]


def main() -> None:
    """Compare, or be one of those compared."""
    parser = bench.arguments_of(__doc__, rounds=5)
    parser.add_argument("--network", choices=NETWORKS, default="resnet18")
    parser.add_argument("--images", type=int, default=1024, help="how many there are")
    parser.add_argument("--batch", type=int, default=32, help="images of a step")
    parser.add_argument("--steps", type=int, default=6, help="of a turn")
    parser.add_argument("--scored", type=int, default=192, help="images scored in a turn")
    parser.add_argument("--compile", action="store_true", help="only ours, with recipe.compile and without")
    parser.add_argument("--unkept", action="store_true", help="only ours, with a step's memory kept and without")
    parser.add_argument("--float32", action="store_true", help="only ours, in bf16 and in float32")
    asked = parser.parse_args()
    if asked.tiny:
        asked.images, asked.steps, asked.scored, asked.rounds = 256, 2, 64, 1
    if asked.contestant:
        door = bench.Door()
        work = Work.of(asked)
        if asked.contestant in OURS:
            bench.take_turns(door, OURS[asked.contestant](work))
        else:
            take_part(asked.contestant, work, door)
    else:
        compare(asked)


def ours(work: Work, keep: bool = True, **changed: Any) -> Turn:
    """Return a turn of a stage's own epochs.

    Args:
        work: of every contestant.
        keep: whether the memory of a step is kept for the next.
        changed: settings of the recipe that differ.
    """
    import torch

    from trainables.data.loading.batches import TrainingBatches
    from trainables.training import memory
    from trainables.training.distributed import DistributedContext
    from trainables.training.epoch import EpochRecord
    from trainables.training.evaluation import Evaluator
    from trainables.training.heartbeat import RateLimiter, without_heartbeat
    from trainables.training.train_step import TrainStep
    from trainables.training.trainer import Trainer

    recipe, input_spec, train, val = prepared(work)
    recipe = recipe.model_copy(update=changed)
    backbone, distributed = work.backbone(), DistributedContext(torch.device("cpu"))
    evaluator = Evaluator(input_spec, recipe, distributed)
    first_loss = without_heartbeat(evaluator.evaluate(backbone.module, val))[1]["loss"]
    if keep:
        memory.keep_for_next_step(distributed.device)  # as a stage does
    step = TrainStep(backbone.module, recipe, RATE, distributed)
    batches = TrainingBatches(train, input_spec, recipe.augmentation, recipe.batch_size, 0, 0)
    training = Trainer(step, batches, val, RATE, RateLimiter(math.inf))
    epochs = (epoch for epoch in training.run() if isinstance(epoch, EpochRecord))

    def turn(asked: str) -> bench.Answer:
        epoch = next(epochs)
        seconds = work.steps * work.batch / epoch.images_per_second
        losses = (training.epochs[0].train["loss"], first_loss)
        return work.answer(seconds, epoch.seconds - seconds, losses) | {"first": training.epochs[0].seconds}

    return turn


def bare(work: Work) -> Turn:
    """Return a turn of what no loop can do without."""
    import torch
    from torch.nn.functional import cross_entropy

    from trainables.data.loading.batches import TrainingBatches, evaluation_batches
    from trainables.training.distributed import DistributedContext
    from trainables.training.evaluation import Evaluator
    from trainables.training.heartbeat import without_heartbeat

    recipe, input_spec, train, val = prepared(work)
    module = work.backbone().module.to(memory_format=torch.channels_last)
    evaluator = Evaluator(input_spec, recipe, DistributedContext(torch.device("cpu")))
    first_loss = without_heartbeat(evaluator.evaluate(module, val))[1]["loss"]
    batch = next(TrainingBatches(train, input_spec, recipe.augmentation, work.batch, 0, 0).epoch(0))
    held = next(evaluation_batches(val, input_spec)).images
    optimizer = torch.optim.SGD(module.parameters(), RATE, momentum=MOMENTUM, weight_decay=recipe.weight_decay)
    precision = torch.autocast("cpu", torch.bfloat16)

    def turn(asked: str) -> bench.Answer:
        """Take some steps over the one batch, then score over and over the other."""
        started = time.perf_counter()
        module.train()
        for _ in range(work.steps):
            optimizer.zero_grad()
            with precision:
                loss = cross_entropy(module(batch.images), batch.labels)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        trained = time.perf_counter()
        module.eval()
        with torch.inference_mode(), precision:
            for _ in range(work.scored // len(held)):
                module(held)
        return work.answer(trained - started, time.perf_counter() - trained, (loss.item(), first_loss))

    return turn


def prepared(work: Work) -> Any:
    """Set the threads; return our recipe, what the network wants to see, and the parts."""
    import cv2
    import torch

    from trainables.data.loading.batches import InputSpec, Part
    from trainables.specs import Recipe

    torch.set_num_threads(environments.cores())
    cv2.setNumThreads(environments.cores())
    data, rows = pictures.packed(work.source), work.rows
    recipe = Recipe(
        image_size=EDGE,
        epochs=10**6,
        batch_size=work.batch,
        momentum=MOMENTUM,
        weight_decay=0,
        precision="bf16",
        threads=environments.cores(),
    )
    input_spec = InputSpec(EDGE, batches.MEAN, batches.STD, torch.device("cpu"))
    return recipe, input_spec, Part(data, rows[: work.steps * work.batch]), Part(data, rows[-work.scored :])


def compiled(work: Work) -> Turn:
    """Return a turn of ours with the network compiled."""
    return ours(work, compile=True)


def unkept(work: Work) -> Turn:
    """Return a turn of ours with each step's memory returned to the system."""
    return ours(work, keep=False)


def in_float32(work: Work) -> Turn:
    """Return a turn of ours in float32."""
    return ours(work, precision="float32")


EVERY = {"found": 3, "ray": 3}
"""Who takes part in every so many rounds only: slow, and far behind."""
OURS = {"ours": ours, "bare": bare, "compiled": compiled, "unkept": unkept, "float32": in_float32}
PEERS = ("lightning", "found", "ray")


def take_part(name: str, work: Work, door: bench.Door) -> None:
    """Be one of the peers.

    Args:
        name: which.
        work: of every contestant.
        door: where requests come from.
    """
    import training_peers

    {"lightning": training_peers.lightning, "found": training_peers.found, "ray": training_peers.ray_train}[name](
        work, door
    )


def compare(asked: Namespace) -> None:
    """Let all take turns and write what came out."""
    source = pictures.folder(asked.data, asked.images)
    pictures.packed(source)
    other = "compiled" if asked.compile else "unkept" if asked.unkept else "float32" if asked.float32 else "bare"
    pythons = dict.fromkeys(("ours", other), environments.OURS)
    if not asked.tiny and other == "bare":
        pythons |= dict.fromkeys(PEERS, environments.peers())
    given = ["--network", asked.network, "--images", str(asked.images)]
    given += ["--batch", str(asked.batch)]
    given += ["--steps", str(asked.steps), "--scored", str(asked.scored)]
    given += ["--data", str(asked.data)] if asked.data else []
    taken = bench.contest(__file__, pythons, given, asked, EVERY)
    if asked.tiny:
        return
    if asked.compile:
        record_compiled(asked, taken)
        return
    if asked.unkept:
        record_unkept(asked, taken)
        return
    if asked.float32:
        record_float32(asked, taken)
        return
    augmented = {name: answers for name, answers in taken.items() if name != "bare"}
    # Each draws its own images: of 64, as of two steps, a mean loss may well be off by a sixth. Val is the same for all.
    checked = [bench.same(taken, "val_loss", 0.005), bench.same(augmented, "train_loss", 0.25)]
    versions = environments.peer_versions("lightning", "litdata") | {
        name: environments.version_of(name) for name in ("ray", "torchvision", "timm")
    }
    for what, figure, targets in (
        ("training stage", "figure", {"bare": 0.97, "lightning": 1.0, "found": 2.0, "ray": 2.0}),
        ("evaluation", "evaluation", {"bare": 0.97, "found": 1.5, "ray": 1.5}),
    ):
        notes = [
            f"{len(taken['ours'])} rounds, every third of them with the documented examples, of {asked.steps} steps of {asked.batch} images and {asked.scored} images scored; images/s: "
            + "; ".join(f"{name} {bench.spread(bench.figures(taken[name], figure), digits=1)}" for name in taken),
            "the same work: " + ", ".join(checked),
        ]
        lines = [line(taken, figure, name, target) for name, target in targets.items()]
        bench.record(f"{what}, {asked.network}", lines, notes, versions)


def record_compiled(asked: Namespace, taken: dict[str, list[bench.Answer]]) -> None:
    """Record what compiling gains, what it costs, and after how many images it has paid.

    Args:
        asked: the command line.
        taken: the answers of each contestant.
    """
    eager, quick = (statistics.median(bench.figures(taken[name])) for name in ("ours", "compiled"))
    cost = taken["compiled"][0]["first"] - taken["ours"][0]["first"]
    pays = f"after {cost / (1 / eager - 1 / quick):,.0f} images" if quick > eager else "never"
    notes = [
        f"{len(taken['ours'])} rounds of {asked.steps} steps of {asked.batch} images; images/s: "
        + "; ".join(f"{name} {bench.spread(bench.figures(answers), digits=1)}" for name, answers in taken.items()),
        f"the first epoch took {cost:,.0f} s longer: it has paid {pays}",
        "the same work: " + ", ".join([bench.same(taken, "val_loss", 0.005), bench.same(taken, "train_loss", 0.05)]),
    ]
    shown = [f"{figure:,.1f} images/s" for figure in (quick, eager)]
    ratio = float(np.median(np.divide(bench.figures(taken["compiled"]), bench.figures(taken["ours"]))))
    bench.record(
        f"torch.compile, {asked.network}", [bench.ResultLine(shown[0], "ours as it is", shown[1], ratio, 1.0)], notes
    )


def record_float32(asked: Namespace, taken: dict[str, list[bench.Answer]]) -> None:
    """Record the gain of bf16, beside what ``precision: auto`` counts of the network.

    Args:
        asked: the command line.
        taken: the answers of each contestant.
    """
    from sweep.grid.auto.precision import of_this_machine
    from trainables.models.complexity import known

    notes = [
        f"{len(taken['ours'])} rounds of {asked.steps} steps of {asked.batch} images, then {asked.scored} scored",
        f"depthwise {known()[NETWORKS[asked.network]].depthwise}; computes in bf16 here: {of_this_machine()}",
        "the same work: " + bench.same(taken, "val_loss", 0.05),
    ]
    lines = [line(taken, "figure", "float32", 1.0), line(taken, "evaluation", "float32", 1.0)]
    bench.record(f"bf16 or float32, {asked.network}", lines, notes)


def record_unkept(asked: Namespace, taken: dict[str, list[bench.Answer]]) -> None:
    """Record the gain of keeping the memory of a step for the next.

    Args:
        asked: the command line.
        taken: the answers of each contestant.
    """
    notes = [
        f"{len(taken['ours'])} rounds of {asked.steps} steps of {asked.batch} images, then {asked.scored} scored",
        "the same work: " + ", ".join([bench.same(taken, "val_loss", 0.005), bench.same(taken, "train_loss", 0.005)]),
    ]
    lines = [line(taken, "figure", "unkept", 1.0), line(taken, "evaluation", "unkept", 1.0)]
    bench.record(f"a step's memory kept, {asked.network}", lines, notes)


AGAINST = {
    "unkept": "ours, a step's memory not kept: trained, then scored",
    "bare": "bare loop over one batch in memory",
    "lightning": "Lightning, best settings",
    "found": "Lightning, documented example",
    "ray": "Ray Train, documented example",
}


def line(taken: dict[str, list[bench.Answer]], figure: str, other: str, target: float) -> bench.ResultLine:
    """Compare ours with another by the median of the rounds' ratios: neighbours in time meet the same load.

    Args:
        taken: the answers of each contestant.
        figure: which of their figures.
        other: name of the other contestant.
        target: ratio that is wanted.
    """
    mine, theirs = bench.figures(taken["ours"], figure)[:: EVERY.get(other, 1)], bench.figures(taken[other], figure)
    ratio = float(np.median(np.divide(mine, theirs)))
    shown = [f"{np.median(values):,.1f} images/s" for values in (mine, theirs)]
    return bench.ResultLine(shown[0], AGAINST[other], shown[1], ratio, target)


if __name__ == "__main__":
    main()
