"""Parameters, FLOPs and published weights of every known architecture, in a table that is read without torch.

``python -m trainables.models.complexity`` counts them and rewrites ``complexity.json``; a test compares the table with
the installed libraries. Planning reads the table only.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from trainables.errors import UserError, suggestion
from trainables.specs import ModelSpec

TABLE = Path(__file__).with_name("complexity.json")
CLASSES = 1000


class Complexity(NamedTuple):
    """One row of the table.

    Attributes:
        parameters: number of parameters, with a head of 1000 classes.
        gflops: multiply-adds of the forward pass of one image, in 10^9, at ``edge``; None if they could not be counted.
        edge: of the input for which they were counted, pixels.
        weights: version -> URL of published ImageNet weights.
    """

    parameters: int
    gflops: float | None
    edge: int
    weights: dict[str, str]


@cache
def known() -> dict[str, Complexity]:
    """Return the table: ``torchvision/NAME`` or ``timm/NAME`` -> complexity."""
    return {name: Complexity(*row) for name, row in json.loads(TABLE.read_text()).items()}


def full_name(name: str) -> str:
    """Return ``torchvision/NAME`` or ``timm/NAME`` for a bare name; ``package.module:CLASS`` is returned as it is.

    Raises:
        UserError: if neither library has it; the most similar names are suggested.
    """
    if ":" in name or name in known():
        return name
    for library in ("torchvision", "timm"):
        if f"{library}/{name}" in known():
            return f"{library}/{name}"
    bare = {known_name.partition("/")[2]: known_name for known_name in known()}
    hint = suggestion(name.rpartition("/")[2], bare)
    raise UserError(
        f"unknown architecture {name}: neither torchvision nor timm has it{hint}; a class of your own is package.module:CLASS"
    )


def gflops(spec: ModelSpec, edge: int) -> float:
    """Return the multiply-adds of one image, in 10^9, scaled with the area of the input; 1.0 if unknown.

    Args:
        spec: the network.
        edge: of the input, pixels.
    """
    row = known().get(spec.model)
    if row is None or row.gflops is None:
        return 1.0
    return row.gflops * (edge / row.edge) ** 2


def count(name: str) -> Complexity:
    """Count parameters and FLOPs of an architecture of torchvision or timm on the meta device.

    Raises:
        UserError: if it cannot be built without options.
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from trainables.models.backbones import construct_shapes

    edge, weights = _published(name)
    module = construct_shapes(ModelSpec(model=name), edge, CLASSES).eval().to("meta")
    counter = FlopCounterMode(display=False)
    try:
        with counter, torch.no_grad(), torch.device("meta"):
            module(torch.empty(1, 3, edge, edge))
        gigaflops: float | None = float(f"{counter.get_total_flops() / 2e9:.4g}")
    except Exception:  # noqa: BLE001 - some networks read values of tensors, which meta tensors lack: unknown
        gigaflops = None
    return Complexity(sum(p.numel() for p in module.parameters()), gigaflops, edge, weights)


def _published(name: str) -> tuple[int, dict[str, str]]:
    library, _, bare = name.partition("/")
    if library == "torchvision":
        from torchvision import models

        return 224, {w.name: w.url for w in models.get_model_weights(bare) if w.name.startswith("IMAGENET1K")}
    import timm

    config = timm.get_pretrained_cfg(bare)
    edge = config.input_size[-1] if config is not None and config.fixed_input_size else 224
    tags = [n.partition(".")[2] for n in timm.list_pretrained(f"{bare}.*") if n.endswith("in1k")]
    return edge, {tag: f"https://huggingface.co/timm/{bare}.{tag}/resolve/main/model.safetensors" for tag in tags}


def names() -> list[str]:
    """Return the names of all classifiers of the installed torchvision and timm."""
    import timm
    from torchvision import models

    own = [f"torchvision/{name}" for name in models.list_models(module=models) if "quantized" not in name]
    return own + [f"timm/{name}" for name in timm.list_models()]


def write_table() -> None:
    """Count all architectures and rewrite the table."""
    rows: dict[str, Any] = {}
    for name in names():
        try:
            rows[name] = count(name)
        except UserError:  # it cannot be built without options
            continue
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(row)}" for name, row in rows.items())
    TABLE.write_text("{\n" + lines + "\n}\n")


if __name__ == "__main__":
    write_table()
