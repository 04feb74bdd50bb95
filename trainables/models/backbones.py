"""Networks by name, of torchvision, timm or a class of the user's: head, input size and normalisation.

Differences between families of networks are handled here and nowhere else. A new architecture of torchvision or timm
needs no change; a user's ``nn.Module`` needs a constructor that takes ``num_classes``.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from trainables.errors import UserError, suggestion
from trainables.models.weights_file import unwrapped_names
from trainables.normalisation import IMAGENET, Normalisation
from trainables.specs import ModelSpec

AUXILIARY_HEADS = {"googlenet": ("aux1.", "aux2."), "inception_v3": ("AuxLogits.",)}
"""torchvision's networks with auxiliary heads for training (they return a tuple of logits), and the prefixes of these heads.
They are built without: only the main logits are trained on, so the other weights would stay untrained."""
INCEPTION = {"aux_logits": False, "init_weights": True, "transform_input": True}
"""Options of the networks in ``AUXILIARY_HEADS``. With ``transform_input`` they convert ImageNet's normalisation to their own."""

State = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Backbone:
    """A network with a head for a number of classes.

    Attributes:
        module: maps float images, shape (n, 3, edge, edge), to logits, shape (n, classes).
        head: names of the parameters whose shape depends on the number of classes.
        mean, std: normalisation of the input; red, green, blue in [0, 1].
        dropped: prefixes of published weights that the network has no parameters for: its auxiliary heads.
    """

    module: nn.Module
    head: frozenset[str]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    dropped: tuple[str, ...] = ()

    def without_head(self, state: State) -> State:
        """Return a state dict without the head: the weights that pre-training passes on."""
        return {n: tensor for n, tensor in state.items() if n not in self.head and not n.startswith(self.dropped)}

    def load_backbone(self, state: State, origin: str) -> None:
        """Load weights into everything but the head, which keeps its initialisation.

        Args:
            state: weights by name, also as DDP or ``torch.compile`` name them; those of a head are ignored.
            origin: where they come from, for the message.

        Raises:
            UserError: if weights are missing, unknown, of another shape or not numbers; the first eight are listed.
        """
        own = self.without_head(self.module.state_dict())
        names = unwrapped_names(state, own)
        given = self.without_head({new: state[name] for name, new in names.items()})
        faults = [f"missing: {name}" for name in sorted(own.keys() - given.keys())]
        faults += [f"unknown: {name}" for name in sorted(given.keys() - own.keys())]
        faults += [
            f"{name} is {tuple(given[name].shape)}, wanted {tuple(own[name].shape)}"
            for name in sorted(own.keys() & given.keys())
            if own[name].shape != given[name].shape
        ]
        faults += [f"{name} holds NaN, not numbers" for name in sorted(given) if given[name].isnan().any()]
        if faults:
            listed = "; ".join(faults[:8]) + (f"; and {len(faults) - 8} more" if len(faults) > 8 else "")
            raise UserError(f"the weights of {origin} do not fit the architecture: {listed}")
        self.module.load_state_dict(given, strict=False)


def build(spec: ModelSpec, image_size: int, classes: int, normalisation: Normalisation | None = None) -> Backbone:
    """Build a network with random weights, drawn from torch's global random state.

    Args:
        spec: name and options.
        image_size: edge of the input, pixels.
        classes: number of classes.
        normalisation: of its input; None: that of the weights which its library takes where none are named.

    Raises:
        UserError: if the name or its options are unknown.
    """
    module = construct(spec, image_size, classes)
    wanted = normalisation or own_normalisation(module)
    library, _, name = spec.model.partition("/")
    dropped = AUXILIARY_HEADS.get(name, ()) if library == "torchvision" else ()
    return Backbone(module, _head(spec, image_size), wanted.mean, wanted.std, dropped)


@contextmanager
def without_memory() -> Iterator[None]:
    """Context in which new modules get their parameters on the meta device: shapes without memory or values.

    ``torch.device("meta")`` would do so for all tensors, but some networks (RegNet) compute their layer widths with
    tensors in their constructor.
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
    """Build a network for the shapes of its parameters, without memory if possible.

    Some networks (Swin V2, hybrid ViTs) read the values of their parameters in their constructor.

    Args:
        spec: name and options.
        image_size: edge of the input, pixels.
        classes: number of classes.

    Raises:
        UserError: if the name or its options are unknown.
    """
    try:
        with without_memory():
            return construct(spec, image_size, classes)
    except UserError:
        return construct(spec, image_size, classes)


def construct(spec: ModelSpec, image_size: int, classes: int) -> nn.Module:
    """Build the plain ``nn.Module``.

    Args:
        spec: name and options.
        image_size: edge of the input, pixels.
        classes: number of classes.

    Raises:
        UserError: if the name or its options are unknown.
    """
    library, _, name = spec.model.partition("/")
    try:
        if library == "torchvision":
            return _torchvision(name, image_size, classes, spec.options)
        if library == "timm":
            return _timm(name, image_size, classes, spec.options)
        return _custom(spec.model, classes, spec.options)
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


def _custom(path: str, classes: int, options: dict[str, Any]) -> nn.Module:
    module_name, _, class_name = path.partition(":")
    source = importlib.import_module(module_name)
    found = getattr(source, class_name, None)
    if found is None:
        classes_there = [name for name, value in vars(source).items() if isinstance(value, type)]
        raise AttributeError(f"no class {class_name} in {module_name}{suggestion(class_name, classes_there)}")
    module: nn.Module = found(num_classes=classes, **options)
    return module


def _head(spec: ModelSpec, image_size: int) -> frozenset[str]:
    """Return the names of the parameters whose shape depends on the number of classes: the head in every family."""
    shapes = [{n: t.shape for n, t in construct_shapes(spec, image_size, c).state_dict().items()} for c in (2, 3)]
    return frozenset(name for name, shape in shapes[0].items() if shapes[1][name] != shape)


def own_normalisation(module: nn.Module) -> Normalisation:
    """Return what a network says of its input's normalisation (timm's ``pretrained_cfg``); ImageNet's if nothing."""
    config = getattr(module, "pretrained_cfg", None) or {}
    return Normalisation.of(config.get("mean", IMAGENET.mean), config.get("std", IMAGENET.std))
