"""PyTorch: what its public interface does not offer. Works with torch ``TESTED[0]`` to ``TESTED[1]``."""

from __future__ import annotations

from torch import nn

TESTED = ("2.8.0", "2.14.1")
"""Lowest and highest version of torch that was tested; the lowest is the bound in pyproject.toml."""


def batch_norms(module: nn.Module) -> list[nn.Module]:
    """Return the batch norm layers of a network, of any number of dimensions, synchronised or not.

    The common base class is private. ``nn.SyncBatchNorm.convert_sync_batchnorm`` converts by that class, so a list of the
    public subclasses could miss a layer that it converts. Without this a network with batch norm would be trained by several
    CPU workers with the statistics of a part of the batch, and the running averages of a range test would be kept.
    """
    return [layer for layer in module.modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm)]
