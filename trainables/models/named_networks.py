"""Whether a network is one that torchvision or timm knows by name, with plain options: all that is built from a study.

A grid on one's own command line may name any class. A study may be somebody else's: its ``stage.json`` is data, and
must choose neither code, nor a file, nor an address.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from trainables.specs import ModelSpec

LARGEST_NUMBER = 100_000
"""Largest number among the options: sizes of layers and images are far below it."""
LARGEST_IMAGE = 4096
"""Largest edge of a network's input that is built from a study, pixels."""
NOT_ARCHITECTURE = frozenset(
    {"checkpoint_path", "cache_dir", "weights", "weights_backbone", "progress", "features_only", "feature_cfg"}
    | {"scriptable", "exportable", "no_jit", "num_classes"}
)
"""Arguments of the constructors that open files, download, or return something else than the network."""
_WORD = re.compile(r"[A-Za-z0-9_-]{0,64}")
"""A text that names a kind of layer or pooling. It has no dot, slash or colon: no path, module or address."""
_NETWORK = re.compile(r"[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)?")


def what_is_foreign(spec: ModelSpec, image_size: int) -> str | None:
    """Return what of a network is not plain, in words; None: it is known by name and has plain options.

    Args:
        spec: name and options.
        image_size: edge of its input, pixels.
    """
    if not _is_known(spec.model):
        return f"the network {spec.model[:200]!r}, which neither torchvision nor timm knows by name"
    if image_size > LARGEST_IMAGE:
        return f"an input of {image_size} pixels, more than {LARGEST_IMAGE}"
    found = next(_foreign_options(spec.options), None)
    return None if found is None else f"the option {found} of {spec.model}"


def _is_known(model: str) -> bool:
    library, _, name = model.partition("/")
    if not _NETWORK.fullmatch(name):
        return False
    if library == "torchvision":
        from torchvision import models

        return name in models.list_models(module=models)
    if library == "timm":
        import timm

        return bool(timm.is_model(name))
    return False


def _foreign_options(options: Mapping[str, Any]) -> Iterator[str]:
    for name, value in options.items():
        if not _WORD.fullmatch(name) or name in NOT_ARCHITECTURE or name.startswith("pretrained"):
            yield repr(name[:200])
        elif (found := _foreign_value(value)) is not None:
            yield f"{name} ({found})"


def _foreign_value(value: Any) -> str | None:
    if value is None or isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return None if abs(value) <= LARGEST_NUMBER else f"a number above {LARGEST_NUMBER:,}"
    if isinstance(value, str):
        return None if _WORD.fullmatch(value) else repr(value[:200])
    if isinstance(value, Mapping):
        return next(_foreign_options(value), None)
    if isinstance(value, list | tuple):
        return next((found for item in value if (found := _foreign_value(item)) is not None), None)
    return f"a {type(value).__name__}"
