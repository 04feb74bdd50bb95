"""Parameters, FLOPs, normalisation and published weights of every known architecture, in a table read without torch.

``python -m trainables.models.complexity`` counts them and rewrites ``complexity.json``; a test compares the table with
the installed libraries. Planning reads the table only.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from trainables.errors import UserError, suggestion
from trainables.hashing import canonical
from trainables.normalisation import IMAGENET, Normalisation
from trainables.specs import ModelSpec

if TYPE_CHECKING:
    from torch import nn

TABLE = Path(__file__).with_name("complexity.json")
CLASSES = 1000
EDGE = 224
FEW_CHANNELS = 8
"""A convolution whose groups have fewer input channels than this counts as depthwise: a matrix unit gains nothing there."""
DEFAULT_TAG = ""
"""Stands for the version of weights that timm takes where none is named."""


class Complexity(NamedTuple):
    """One row of the table.

    Attributes:
        parameters: number of parameters, with a head of 1000 classes.
        gflops: multiply-adds of the forward pass of one image, in 10^9, at ``edge``; None if they could not be counted.
        edge: of the input for which they were counted, pixels: 224, or what the network is made for.
        weights: version -> URL of published ImageNet weights.
        depthwise: of the values that convolutions and matrix products write, the share that depthwise convolutions do (see
            ``FEW_CHANNELS``); None if it could not be counted.
        normalised: version of weights -> (mean, SD) of its input, of those that differ from ImageNet's.
    """

    parameters: int
    gflops: float | None
    edge: int
    weights: dict[str, str]
    depthwise: float | None
    normalised: dict[str, list[list[float]]]

    def normalisation(self, version: str = DEFAULT_TAG) -> Normalisation:
        """Return the normalisation of the images that published weights were trained on.

        Args:
            version: of the weights.
        """
        given = self.normalised.get(version)
        return IMAGENET if given is None else Normalisation.of(*given)


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


def shape_of(spec: ModelSpec) -> Complexity | None:
    """Return what is counted of a network, its options aside if it is of torchvision or timm; None if nothing is.

    Args:
        spec: the network.
    """
    return known().get(spec.model) or _counted.get(canonical(spec.model_dump()))


_counted: dict[str, Complexity] = {}
"""Networks that were counted because the table does not have them."""


def remember(spec: ModelSpec, counted: Complexity) -> None:
    """Have ``gflops`` and ``shape_of`` know a network that the table does not have.

    Args:
        spec: the network.
        counted: what is counted of it.
    """
    _counted[canonical(spec.model_dump())] = counted


def gflops(spec: ModelSpec, edge: int) -> float:
    """Return the multiply-adds of one image, in 10^9, scaled with the area of the input; 1.0 if unknown.

    Args:
        spec: the network.
        edge: of the input, pixels.
    """
    row = _counted.get(canonical(spec.model_dump())) or known().get(spec.model)
    if row is None or row.gflops is None:
        return 1.0
    return row.gflops * (edge / row.edge) ** 2


def count(name: str) -> Complexity:
    """Count parameters and FLOPs of an architecture of torchvision or timm, on the meta device if it runs there.

    Raises:
        UserError: if it cannot be built without options.
    """
    from trainables.models.backbones import construct, construct_shapes

    edges, weights, normalised = _published(name)
    spec = ModelSpec(model=name)
    module = construct_shapes(spec, edges[0], CLASSES)
    parameters = sum(p.numel() for p in module.parameters())
    for edge, device in product(edges, ("meta", "cpu")):  # some read values of tensors, which meta tensors lack
        if device == "cpu":
            module = construct(spec, edge, CLASSES)
        gigaflops, depthwise = forward_cost(module, edge, device)
        if gigaflops is not None:
            return Complexity(parameters, gigaflops, edge, weights, depthwise, normalised)
    return Complexity(parameters, None, edges[0], weights, None, normalised)


def forward_cost(module: nn.Module, edge: int, device: str) -> tuple[float | None, float | None]:
    """Count a forward pass of one image: multiply-adds in 10^9, and the share that depthwise convolutions write.

    Args:
        module: a network.
        edge: of the image, pixels.
        device: ``meta``: the shapes alone; or where to compute it.

    Returns:
        Both, as in ``Complexity``; None and None if the pass fails.
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    module = module.eval().to(device).requires_grad_(False)  # with gradients the counter fails at some networks
    counter = FlopCounterMode(display=False)
    try:
        with _written(module) as written, counter, torch.no_grad(), torch.device(device):
            module(torch.empty(1, 3, edge, edge))
    except Exception:  # noqa: BLE001 - a network may raise anything
        return None, None
    total = sum(written.values())
    share = written[True] / total if total else 0.0
    return float(f"{counter.get_total_flops() / 2e9:.4g}"), round(share, 3)


@contextmanager
def _written(module: nn.Module) -> Iterator[dict[bool, int]]:
    """Count the values that convolutions and linear layers write: whether depthwise -> number."""
    from torch import nn

    written = {True: 0, False: 0}

    def add(layer: nn.Module, _: Any, output: Any) -> None:
        depthwise = (
            isinstance(layer, nn.Conv2d) and layer.groups > 1 and layer.in_channels // layer.groups < FEW_CHANNELS
        )
        written[depthwise] += output.numel()

    hooks = [layer.register_forward_hook(add) for layer in module.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    try:
        yield written
    finally:
        for hook in hooks:
            hook.remove()


def _published(name: str) -> tuple[tuple[int, ...], dict[str, str], dict[str, list[list[float]]]]:
    """Return edges to count at, published weights, and the normalisation of those that have one of their own."""
    library, _, bare = name.partition("/")
    if library == "torchvision":
        from torchvision import models

        versions = [w for w in models.get_model_weights(bare) if w.name.startswith("IMAGENET1K")]
        normalised = {w.name: [list(w.transforms().mean), list(w.transforms().std)] for w in versions}
        return (EDGE,), {w.name: w.url for w in versions}, _unusual(normalised)
    import timm

    config = timm.get_pretrained_cfg(bare)
    own = config.input_size[-1] if config is not None else EDGE
    edges = (own,) if config is not None and config.fixed_input_size else tuple(dict.fromkeys((EDGE, own)))
    tags = [n.partition(".")[2] for n in timm.list_pretrained(f"{bare}.*") if n.endswith("in1k")]
    configs = {DEFAULT_TAG: config, **{tag: timm.get_pretrained_cfg(f"{bare}.{tag}") for tag in tags}}
    normalised = {tag: [list(found.mean), list(found.std)] for tag, found in configs.items() if found is not None}
    urls = {tag: f"https://huggingface.co/timm/{bare}.{tag}/resolve/main/model.safetensors" for tag in tags}
    return edges, urls, _unusual(normalised)


def _unusual(normalised: dict[str, list[list[float]]]) -> dict[str, list[list[float]]]:
    return {version: given for version, given in normalised.items() if Normalisation.of(*given) != IMAGENET}


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
