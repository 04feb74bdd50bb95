"""What ``paper`` and ``full_study`` are on GPUs, on paper: ``python benchmarks/on_paper.py [--gpus 8]``.

FLOPs and bytes of one training step of each architecture (batch, size and precision of the grid), against the peaks of
data sheets. The bytes are those of every operation of forward and backward pass as eager PyTorch calls them, each
reading its inputs and writing its outputs once (counted on the ``meta`` device: nothing is computed), and what SGD with
momentum moves. No GPU is quicker than the longer of the two; caches and fused kernels save some of the bytes.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

ROOT = Path(__file__).parents[1]
SHEETS = {"a10g": (70.0, 600.0), "a100": (312.0, 1555.0), "h100": (989.0, 3350.0)}
"""Device -> dense bf16 TFLOP/s and GB/s of memory: data sheets of A10G 24 GB, A100 SXM 40 GB, H100 SXM 80 GB."""
OPTIMISER = 32
"""Bytes a parameter and step: weight cast to bf16 (4 + 2), gradient back to float32 (2 + 4), SGD with momentum (20)."""
BATCH, EDGE, CLASSES = 32, 224, 21
VIEWS = (
    "view",
    "transpose",
    "permute",
    "expand",
    "t.default",
    "slice",
    "select",
    "unsqueeze",
    "squeeze",
    "detach",
    "split",
)


class Bytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts what every operation reads and writes."""

    total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if not any(view in str(func) for view in VIEWS):
            tensors = [leaf for leaf in tree_leaves((args, kwargs, result)) if isinstance(leaf, torch.Tensor)]
            self.total += sum(tensor.numel() * tensor.element_size() for tensor in tensors)
        return result


def moved(name: str) -> tuple[int, int]:
    """Return the bytes that one step of a network moves, and its parameters."""
    network = torchvision.models.get_model(name, weights=None)  # its widths are computed: not on `meta`
    last = [part for part in network.modules() if isinstance(part, nn.Linear)][-1]
    last.weight = nn.Parameter(torch.empty(CLASSES, last.in_features))
    last.bias = nn.Parameter(torch.empty(CLASSES))
    network = network.bfloat16().to("meta")
    images = torch.empty(BATCH, 3, EDGE, EDGE, dtype=torch.bfloat16, device="meta")
    labels = torch.empty(BATCH, dtype=torch.int64, device="meta")
    with Bytes() as count:  # type: ignore[no-untyped-call]
        nn.functional.cross_entropy(network(images), labels).backward()  # type: ignore[no-untyped-call]
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return count.total + OPTIMISER * parameters, parameters


def plan(grid: str, device: str, gpus: int) -> dict[str, Any]:
    """Return ``--plan --json`` of a grid.

    Args:
        grid: its name or file.
        device: of the price table.
        gpus: how many of them.
    """
    command = [sys.executable, "-m", "sweep.run", "--grid", grid, "--plan", "--json"]
    command += ["--device", device, "--gpus", str(gpus)]
    return dict(json.loads(subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout))


def main() -> None:
    """Write both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gpus", type=int, default=8)
    gpus = parser.parse_args().gpus
    sys.path.insert(0, str(ROOT))
    from sweep.cost.work import BACKWARD
    from trainables.models.complexity import known

    def gflops(name: str) -> float:
        return float(known()[f"torchvision/{name}"].gflops or 0)

    say = sys.stdout.write
    networks = ("vgg19_bn", "resnet152", "regnet_y_32gf", "vit_l_32")
    bound: dict[tuple[str, str], float] = {}
    say(f"one step, {BATCH} images of {EDGE} px, bf16        at least, ms a step: arithmetic / memory\n")
    say("network          params   TFLOP      GB  " + "".join(f"{device:>16}" for device in SHEETS) + "\n")
    for name in networks:
        byte_count, parameters = moved(name)
        flop = 2 * BACKWARD * gflops(name) * BATCH * 1e9
        line = f"{name:15}{parameters / 1e6:6.1f} M{flop / 1e12:8.2f}{byte_count / 1e9:8.1f}  "
        for device, (tflops, gigabytes) in SHEETS.items():
            arithmetic, memory = flop / tflops / 1e9, byte_count / gigabytes / 1e6
            bound[name, device] = max(arithmetic, memory) / 1e3 / BATCH
            line += f"{arithmetic:9.1f} /{memory:5.1f}"
        say(line + "\n")
    say(f"\ngrid         device   GPU-hours: at least   --plan says   wall on {gpus}, --plan\n")
    for grid in ("paper", "full_study"):
        for device in SHEETS:
            told = plan(grid, device, gpus)
            hours: dict[str, float] = defaultdict(float)
            for stage in told["stages"]:
                name = stage["architecture"]
                images = stage["gflop"] / (BACKWARD * gflops(name))
                hours[name] += images * bound[name, device] / 3600
            total = told["forecast"]
            say(
                f"{grid:12} {device:8} {sum(hours.values()):19.0f} {total['gpu_hours']:13.0f}"
                f" {total['wall_seconds'] / 3600:16.1f} h\n"
            )


if __name__ == "__main__":
    main()
