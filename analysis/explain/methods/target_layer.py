"""The layer that a class activation map is read from, found by observing one forward and one backward pass.

The rule, for all architectures: the last layer before the head whose output is a map of the image (not yet pooled to a
point) and whose places all receive a gradient from the head. In a CNN that is the last feature map. In a ViT whose head
reads a class token it is the first norm of the last block: later patch tokens receive no gradient. A custom network may
name the layer itself: ``cam_layer = "layer4"``.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import torch
from torch import nn

from trainables.errors import UserError, suggestion
from trainables.specs import ModelSpec

Channels = Literal["first", "last", "tokens"]

MOST_PREFIX_TOKENS = 8
"""Maximum number of class, distillation and register tokens, for networks that do not declare theirs."""
LEAST_ALIVE = 0.5
"""Fraction of a map's places that must have a gradient. Behind a class token none has; max pooling leaves most."""
NO_MAPS = (nn.Identity, nn.Dropout, nn.Dropout2d)


@dataclass(frozen=True)
class Layout:
    """How a tensor holds a map.

    Attributes:
        channels: ``first`` (n, C, rows, columns), ``last`` (n, rows, columns, C) or ``tokens`` (n, N, C).
        grid: rows and columns of the map.
        prefix_tokens: tokens before those of the patches.
    """

    channels: Channels
    grid: tuple[int, int]
    prefix_tokens: int = 0


@dataclass(frozen=True)
class CamLayer:
    """The layer that a class activation map of a network reads.

    Attributes:
        name: its name within the network.
        layer: the module itself.
        layout: how its output holds the map.
    """

    name: str
    layer: nn.Module
    layout: Layout

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of the map: its true resolution."""
        return self.layout.grid

    def reshape_transform(self, output: torch.Tensor) -> torch.Tensor:
        """Return a copy of an output, or of its gradient, as (n, C, rows, columns).

        A copy, because later layers may change the tensor in place (``ReLU(inplace=True)``).
        """
        rows, columns = self.layout.grid
        if self.layout.channels == "tokens":
            output = output[:, self.layout.prefix_tokens :].reshape(len(output), rows, columns, -1)
        if self.layout.channels != "first":
            output = output.movedim(-1, 1)
        return output.clone(memory_format=torch.contiguous_format)


@dataclass(frozen=True)
class CamNetwork:
    """A network with the layer that its maps are read from."""

    module: nn.Module
    layer: CamLayer


def cam_layer(spec: ModelSpec, module: nn.Module, image_size: int, name: str | None = None) -> CamLayer:
    """Find the layer that a class activation map is read from.

    Args:
        spec: specification of the network, for messages.
        module: the network; left as it was.
        image_size: edge of its input, pixels.
        name: of a layer; None: the one that the network's class names, else the one that the rule finds.

    Raises:
        UserError: if no layer has a map, or the named one has none.
    """
    named = name or getattr(module, "cam_layer", None)
    modules = dict(module.named_modules())
    if named is not None and named not in modules:
        raise UserError(
            f"{spec.model} has no layer {named!r} to read a class activation map from{suggestion(str(named), modules)}"
        )
    seen = [one for one in _observe(module, image_size) if named is None or one.name == named]
    alive = [one for one in seen if one.alive >= LEAST_ALIVE]
    for one in reversed(alive if named is None else seen):
        return CamLayer(one.name, modules[one.name], one.layout)
    raise UserError(_no_map(spec, named, image_size))


def _no_map(spec: ModelSpec, named: str | None, image_size: int) -> str:
    if named is not None:
        return (
            f"{spec.model}: the layer {named}, named for class activation maps, gives no map at {image_size} px: its output must be one "
            "tensor of channels × rows × columns (or tokens of a square grid) with more than one place, once a pass"
        )
    return (
        f"{spec.model} has no layer with a map of the image at {image_size} px that reaches its head, so no class activation "
        'map can be drawn. Give a larger image_size, or name a layer in the network\'s class: cam_layer = "features"'
    )


@dataclass
class _Seen:
    """A layer whose output was a map.

    Attributes:
        name: of the layer.
        layout: of its output.
        alive: fraction of its places that have a gradient, known after the backward pass.
    """

    name: str
    layout: Layout
    alive: float = 0.0

    def measure(self, gradient: torch.Tensor) -> None:
        """Record the gradient of the output (a backward hook)."""
        places = CamLayer(self.name, nn.Identity(), self.layout).reshape_transform(gradient).abs().amax(1)
        self.alive = float((places > 0).float().mean())


@dataclass
class _Observation:
    """Records of a forward pass, layer by layer in the order in which they finish.

    Attributes:
        image_size: edge of the input, pixels.
        prefix_tokens: number of tokens before those of the patches; None: unknown.
        seen: the layers with a map.
        calls: number of calls of each layer.
        begun: number of outputs -> input of the last linear or convolutional layer with as many, and the number of
            maps seen before it.
    """

    image_size: int
    prefix_tokens: int | None
    seen: list[_Seen] = field(default_factory=list)
    calls: Counter[str] = field(default_factory=Counter)
    begun: dict[int, tuple[torch.Tensor, int]] = field(default_factory=dict)

    def finished(self, name: str, layer: nn.Module, output: Any) -> None:
        """Record the output of a layer (a forward hook).

        Args:
            name: of the layer.
            layer: the module.
            output: what it returned.
        """
        self.calls[name] += 1
        if not isinstance(output, torch.Tensor):
            return
        if is_pooling(layer):
            output.is_pooled = True  # type: ignore[attr-defined]  # a container that ends with it returns the same object
        if hasattr(output, "is_pooled") or isinstance(layer, NO_MAPS) or not output.requires_grad:
            return
        layout = layout_of(output, self.prefix_tokens, self.image_size)
        if layout is not None:
            self.seen.append(_Seen(name, layout))
            output.register_hook(self.seen[-1].measure)  # type: ignore[no-untyped-call]

    def begins(self, layer: nn.Module, inputs: tuple[Any, ...]) -> None:
        """Record the input of a layer that may be the head (a forward pre-hook).

        Args:
            layer: the module.
            inputs: its positional arguments.
        """
        if isinstance(layer, nn.Linear | nn.Conv2d):
            outputs = layer.out_features if isinstance(layer, nn.Linear) else layer.out_channels
            self.begun[outputs] = inputs[0], len(self.seen)

    def maps(self, logits: torch.Tensor) -> list[_Seen]:
        """Return the layers before the head that gave a map in their only call, with their gradients.

        The head is the last layer with as many outputs as there are logits. Its weights may all be zero and stop the
        gradient, so the gradient starts at its input, in a random direction (behind a layer norm the gradient of the
        plain sum vanishes).
        """
        given, maps_before = self.begun.get(logits.shape[-1], (logits, len(self.seen)))
        if given.requires_grad:
            torch.autograd.backward(given, torch.randn(given.shape, generator=_noise()).to(given))
        return [one for one in self.seen[:maps_before] if self.calls[one.name] == 1]


def _noise() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def _observe(module: nn.Module, image_size: int) -> list[_Seen]:
    """Run one image forward and back; return the layers outside attention that gave a map before the head."""
    observation = _Observation(image_size, getattr(module, "num_prefix_tokens", None))
    reference = next(module.parameters(), torch.zeros(()))
    image = torch.randn(1, 3, image_size, image_size, generator=_noise()).to(
        reference
    )  # a constant image has no maxima for max pooling
    with evaluating(module), ExitStack() as hooks, torch.enable_grad():
        for name, layer in module.named_modules():
            hooks.callback(layer.register_forward_pre_hook(observation.begins).remove)
            if name and not _within_attention(module, name):
                note = partial(observation.finished, name)
                hooks.callback(layer.register_forward_hook(lambda one, _, out, note=note: note(one, out)).remove)
        logits = module(image.requires_grad_())
        return observation.maps(logits) if isinstance(logits, torch.Tensor) else []


def _within_attention(module: nn.Module, name: str) -> bool:
    """Return whether a layer is part of an attention, where tensors are heads and windows, not the image."""
    parts = name.split(".")
    above = (".".join(parts[:i]) for i in range(1, len(parts)))
    words = [w.lower() for one in above for w in (one.rpartition(".")[2], type(module.get_submodule(one)).__name__)]
    return any(("attention" in word or "attn" in word) and "block" not in word for word in words)


def is_pooling(layer: nn.Module) -> bool:
    """Return whether a layer pools: one of torch, or a wrapper such as timm's SelectAdaptivePool2d."""
    kind = type(layer).__name__.lower()
    return "pool" in kind and "conv" not in kind and "former" not in kind


def layout_of(output: torch.Tensor, prefix_tokens: int | None, image_size: int) -> Layout | None:
    """Return how a tensor holds a map of a square image, or None if it holds none.

    Args:
        output: of a layer, for one image.
        prefix_tokens: number of tokens before those of the patches; None: the fewest that leave a square.
        image_size: edge of the input, pixels.
    """
    if len(output) != 1:  # the first dimension counts windows or heads, not images
        return None
    if output.ndim == 4:
        _, first, middle, last = output.shape
        channels: Channels = "first" if middle == last else "last"
        rows, columns = (middle, last) if channels == "first" else (first, middle)
        return Layout(channels, (rows, columns)) if 1 < rows == columns <= image_size else None
    if output.ndim == 3:
        tokens = output.shape[1]
        for prefix in range(MOST_PREFIX_TOKENS + 1) if prefix_tokens is None else (prefix_tokens,):
            edge = math.isqrt(max(0, tokens - prefix))
            if 1 < edge <= image_size and edge**2 == tokens - prefix:
                return Layout("tokens", (edge, edge), prefix)
    return None


@contextmanager
def evaluating(module: nn.Module) -> Iterator[nn.Module]:
    """Put a network into evaluation mode without parameter gradients, and restore its state at the end.

    Gradients of activations do not need those of parameters, which take as much memory as the network.
    """
    modes = [(layer, layer.training) for layer in module.modules()]
    gradients = [(parameter, parameter.requires_grad) for parameter in module.parameters()]
    module.eval().requires_grad_(False)
    try:
        yield module
    finally:
        for layer, training in modes:
            layer.training = training
        for parameter, required in gradients:
            parameter.requires_grad_(required)
