"""Networks by name: torchvision, timm, or one's own class; their head, input and normalisation.

The one place that knows how a family differs. A new architecture of torchvision or timm needs nothing
here; one's own ``nn.Module`` needs a constructor that takes ``num_classes``.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from trainables.errors import UserError
from trainables.specs import ModelSpec

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

AUXILIARY_HEADS = {"googlenet": ("aux1.", "aux2."), "inception_v3": ("AuxLogits.",)}
"""torchvision's networks that return a tuple in training, of the logits and those of more heads, and these heads.
They are built without: a stage trains on the main logits, and weights that nothing trains are no part of it."""
INCEPTION = {"aux_logits": False, "init_weights": True, "transform_input": True}
"""``transform_input``: their published weights want another normalisation, which they do themselves."""

State = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Backbone:
    """A network with a head for a number of classes.

    Attributes:
        module: takes float images (n, 3, edge, edge), gives logits (n, classes).
        head: names of the parameters that depend on the number of classes.
        mean, std: of the normalisation it expects, channels red, green, blue in [0, 1].
        dropped: prefixes of published weights that the network is built without: heads for training alone.
    """

    module: nn.Module
    head: frozenset[str]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    dropped: tuple[str, ...] = ()

    def without_head(self, state: State) -> State:
        """Return the part of a state dict that pre-training hands on."""
        return {n: tensor for n, tensor in state.items() if n not in self.head and not n.startswith(self.dropped)}

    def load_backbone(self, state: State, origin: str) -> None:
        """Load weights into all but the head, which stays as it was initialised.

        Raises:
            UserError: if a weight is missing, unknown or of another shape; all are listed.
        """
        own = self.without_head(self.module.state_dict())
        given = self.without_head(state)
        faults = [f"missing: {name}" for name in sorted(own.keys() - given.keys())]
        faults += [f"unknown: {name}" for name in sorted(given.keys() - own.keys())]
        faults += [
            f"{name} is {tuple(given[name].shape)}, wanted {tuple(own[name].shape)}"
            for name in sorted(own.keys() & given.keys())
            if own[name].shape != given[name].shape
        ]
        if faults:
            shown = "; ".join(faults[:8]) + (f"; and {len(faults) - 8} more" if len(faults) > 8 else "")
            raise UserError(f"the weights of {origin} do not fit the architecture: {shown}")
        self.module.load_state_dict(given, strict=False)


def build(spec: ModelSpec, image_size: int, classes: int) -> Backbone:
    """Build a network with random weights, from torch's global random state.

    Raises:
        UserError: if the name or its options are unknown.
    """
    module = construct(spec, image_size, classes)
    mean, std = _normalisation(module)
    library, _, name = spec.model.partition("/")
    dropped = AUXILIARY_HEADS.get(name, ()) if library == "torchvision" else ()
    return Backbone(module, _head(spec, image_size), mean, std, dropped)


@contextmanager
def without_memory() -> Iterator[None]:
    """Within, the parameters of new modules have a shape but neither memory nor values.

    ``torch.device("meta")`` would do the same to all tensors, and some networks (RegNet) compute
    their widths with tensors while they are built.
    """
    register = nn.Module.register_parameter

    def register_shape(self: nn.Module, name: str, param: nn.Parameter | None) -> None:
        shape = None if param is None else nn.Parameter(param.to("meta"), param.requires_grad)
        register(self, name, shape)

    nn.Module.register_parameter = register_shape  # type: ignore[method-assign]
    try:
        yield
    finally:
        nn.Module.register_parameter = register  # type: ignore[method-assign]


def construct_shapes(spec: ModelSpec, image_size: int, classes: int) -> nn.Module:
    """Build the bare network for the shapes of its parameters: without memory where it can be built so.

    Some (Swin V2, hybrid ViTs) ask their parameters for values while they are built.
    """
    try:
        with without_memory():
            return construct(spec, image_size, classes)
    except UserError:
        return construct(spec, image_size, classes)


def construct(spec: ModelSpec, image_size: int, classes: int) -> nn.Module:
    """Build the bare network. Raises UserError if the name or its options are unknown."""
    library, _, name = spec.model.partition("/")
    try:
        if library == "torchvision":
            return _torchvision(name, image_size, classes, spec.options)
        if library == "timm":
            return _timm(name, image_size, classes, spec.options)
        return _own(spec.model, classes, spec.options)
    except (TypeError, ValueError, RuntimeError, ImportError, AttributeError, AssertionError) as error:
        raise UserError(
            f"cannot build {spec.model} with {spec.options or 'no options'} at {image_size} px: {error}"
        ) from error


def _torchvision(name: str, image_size: int, classes: int, options: dict[str, Any]) -> nn.Module:
    from torchvision import models

    fixed = {"image_size": image_size} if name.startswith("vit_") else {}
    inception = INCEPTION if name in AUXILIARY_HEADS else {}
    module: nn.Module = models.get_model(name, weights=None, num_classes=classes, **fixed, **inception, **options)
    return module


def _timm(name: str, image_size: int, classes: int, options: dict[str, Any]) -> nn.Module:
    import timm

    config = timm.get_pretrained_cfg(name)
    fixed = {"img_size": image_size} if config is not None and config.fixed_input_size else {}
    module: nn.Module = timm.create_model(name, pretrained=False, num_classes=classes, **{**fixed, **options})
    return module


def _own(path: str, classes: int, options: dict[str, Any]) -> nn.Module:
    module_name, _, class_name = path.partition(":")
    module: nn.Module = getattr(importlib.import_module(module_name), class_name)(num_classes=classes, **options)
    return module


def _head(spec: ModelSpec, image_size: int) -> frozenset[str]:
    """The head is what changes its shape with the number of classes: true of every family, whatever its names."""
    shapes = [{n: t.shape for n, t in construct_shapes(spec, image_size, c).state_dict().items()} for c in (2, 3)]
    return frozenset(name for name, shape in shapes[0].items() if shapes[1][name] != shape)


def _normalisation(module: nn.Module) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    config = getattr(module, "pretrained_cfg", None) or {}
    mean, std = config.get("mean", IMAGENET_MEAN), config.get("std", IMAGENET_STD)
    return (mean[0], mean[1], mean[2]), (std[0], std[1], std[2])
