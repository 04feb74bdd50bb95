"""The peers of ``training.py``: Lightning with its best settings, and what the documents of Lightning and Ray show."""

from __future__ import annotations

import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import batches
from support import bench, environments
from support.workload import MOMENTUM, RATE, SCORED_BATCH, Work


def images(work: Work) -> tuple[Any, Any]:
    """Return torchvision's data sets of the images that train, and of those that are scored."""
    from torch.utils.data import Subset
    from torchvision.datasets import ImageFolder
    from torchvision.transforms import v2

    changes = batches.transforms()
    plain = v2.Compose([v2.Resize((batches.EDGE, batches.EDGE)), *changes.transforms[-3:]])
    train, val = (ImageFolder(str(work.source), change) for change in (changes, plain))
    rows = work.rows.tolist()
    return Subset(train, rows[: -work.scored]), Subset(val, rows[-work.scored :])


def lightning(work: Work, door: bench.Door) -> None:
    """Take turns with Lightning at its best settings.

    Args:
        work: of every contestant.
        door: where requests come from.
    """
    import torch

    network = work.backbone().module.to(memory_format=torch.channels_last)
    options = {
        "precision": "bf16-mixed",
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    _fit(work, door, network, batches.litdata(work.source, work.batch), options)


def found(work: Work, door: bench.Door) -> None:
    """Take turns with Lightning's documented example.

    Args:
        work: of every contestant.
        door: where requests come from.
    """
    from torch.utils.data import DataLoader

    _fit(work, door, work.backbone().module, DataLoader(images(work)[0], batch_size=work.batch, shuffle=True), {})


def _fit(work: Work, door: bench.Door, network: Any, train: Any, options: dict[str, Any]) -> None:
    import lightning as L
    from torch.utils.data import DataLoader

    val = DataLoader(images(work)[1], batch_size=SCORED_BATCH)
    with tempfile.TemporaryDirectory(prefix="lightning-") as folder:
        trainer = L.Trainer(
            max_epochs=-1,
            accelerator="cpu",
            default_root_dir=folder,
            num_sanity_val_steps=0,
            val_check_interval=work.steps + 1,
            check_val_every_n_epoch=None,
            callbacks=[_turns(work, door)],
            **options,
        )
        module = _module(network)
        trainer.validate(module, val)
        trainer.fit(module, train, val)


def _module(network: Any) -> Any:
    import lightning as L
    import torch
    from torch.nn.functional import cross_entropy

    class Module(L.LightningModule):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def training_step(self, batch: Any, _: int) -> Any:
            loss = cross_entropy(self.network(batch[0]), batch[1])
            self.log("train_loss", loss)
            return loss

        def validation_step(self, batch: Any, _: int) -> None:
            self.log("val_loss", cross_entropy(self.network(batch[0]), batch[1]))

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), RATE, momentum=MOMENTUM)

    return Module()


def _turns(work: Work, door: bench.Door) -> Any:
    """Return a callback that waits before a step, lets it pass uncounted, times the next ones and what is scored."""
    import lightning as L

    class Turns(L.Callback):  # type: ignore[misc]
        def __init__(self) -> None:
            self.step, self.started, self.training, self.losses = 0, 0.0, 0.0, [0.0]
            self.first: tuple[float, float] | None = None

        def on_train_batch_start(self, *_: Any) -> None:
            if self.step == 0 and not door.wait():
                raise SystemExit

        def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, *_: Any) -> None:
            self.losses.append(outputs["loss"].item())
            if self.step == 0:
                self.losses.clear()
                self.started = time.perf_counter()
            if self.step == work.steps:
                self.training = time.perf_counter() - self.started
            self.step = (self.step + 1) % (work.steps + 1)

        def on_validation_start(self, *_: Any) -> None:
            self.started = time.perf_counter()

        def on_validation_end(self, trainer: Any, *_: Any) -> None:
            scoring = time.perf_counter() - self.started
            if trainer.state.fn == "validate":
                self.val_loss = float(trainer.callback_metrics["val_loss"])
                return
            self.first = self.first or (sum(self.losses) / len(self.losses), self.val_loss)
            door.answer(work.answer(self.training, scoring, self.first))

    return Turns()


def ray_train(work: Work, door: bench.Door) -> None:
    """Take turns with the training function of Ray Train's guide.

    Args:
        work: of every contestant.
        door: where requests come from.
    """
    from ray.train import RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer
    from ray.util.queue import Queue

    from sweep.engine.ray_session import ray_session

    with ray_session(None), tempfile.TemporaryDirectory(prefix="ray-train-") as folder:
        asked, answers = (Queue(actor_options={"num_cpus": 0}) for _ in range(2))

        def ask() -> None:
            while question := door.wait():
                asked.put(question)
                door.answer(answers.get())
            asked.put("")

        threading.Thread(target=ask, daemon=True).start()
        config = {"work": work, "asked": asked, "answers": answers}
        scaling = ScalingConfig(num_workers=environments.cores())
        run = RunConfig(storage_path=str(Path(folder)))
        TorchTrainer(_guide, train_loop_config=config, scaling_config=scaling, run_config=run).fit()


def _guide(config: dict[str, Any]) -> None:
    import torch
    from ray import train
    from ray.train.torch import prepare_data_loader, prepare_model
    from torch.utils.data import DataLoader

    work: Work = config["work"]
    rank, size = train.get_context().get_world_rank(), train.get_context().get_world_size()
    model = prepare_model(work.backbone().module)
    criterion = torch.nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), RATE, momentum=MOMENTUM)
    training, scored = images(work)
    loader = prepare_data_loader(DataLoader(training, batch_size=work.batch // size, shuffle=True))
    val = prepare_data_loader(DataLoader(scored, batch_size=SCORED_BATCH // size))

    def validate() -> float:
        model.eval()
        total = 0.0
        with torch.no_grad():
            for pictures, labels in val:
                total += criterion(model(pictures), labels).item()
        return _mean(total / len(val))

    steps = batches.forever(loader)
    first_val, first_train = validate(), None
    while _asked(config["asked"], rank):
        next(steps)
        started, losses = time.perf_counter(), []
        model.train()
        for _ in range(work.steps):
            pictures, labels = next(steps)
            loss = criterion(model(pictures), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        trained = time.perf_counter()
        validate()
        scoring = time.perf_counter() - trained
        first_train = first_train or _mean(sum(losses) / len(losses))
        if rank == 0:
            config["answers"].put(work.answer(trained - started, scoring, (first_train, first_val)))


def _asked(questions: Any, rank: int) -> bool:
    """Whether there is another turn: the first worker asks, and tells the others."""
    import torch.distributed as dist

    said = [questions.get() if rank == 0 else None]
    dist.broadcast_object_list(said)
    return bool(said[0])


def _mean(value: float) -> float:
    import torch
    import torch.distributed as dist

    total = torch.tensor(value, dtype=torch.float64)
    dist.all_reduce(total)
    return float(total) / dist.get_world_size()
