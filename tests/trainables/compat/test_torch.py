"""What ``trainables`` takes from PyTorch beside its public interface is there as we use it."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from timm.layers import BatchNormAct2d  # type: ignore[attr-defined]
from torch import nn

from tests.sweep.support.private_parts import Part, find
from trainables.compat import torch as compat

ROOT = Path(__file__).parents[3]
BASE = Part("torch.nn.modules.batchnorm", "_BatchNorm", compat.batch_norms)


def test_torch_has_the_base_class_of_batch_norm() -> None:
    base = find(BASE, "torch")
    for layer in (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm, BatchNormAct2d):
        assert issubclass(layer, base), (
            f"{layer.__name__} is no {base.__name__}: see trainables.compat.torch.batch_norms"
        )
    assert not issubclass(nn.InstanceNorm2d, base)


def test_every_layer_that_torch_would_synchronise_is_found() -> None:
    class Own(find(BASE, "torch")):  # type: ignore[misc]
        """A direct subclass, as other libraries have it."""

        def _check_input_dim(self, *_: object) -> None: ...

    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Sequential(Own(4), nn.GroupNorm(2, 4)))
    found = compat.batch_norms(network)
    assert found == [network[1], network[2][0]]  # type: ignore[index]
    converted = nn.SyncBatchNorm.convert_sync_batchnorm(network)
    assert [type(layer) for layer in compat.batch_norms(converted)] == [nn.SyncBatchNorm] * len(found)


@pytest.mark.parametrize("bound", ["lowest", "pinned"])
def test_the_tested_versions_are_those_of_the_project(bound: str) -> None:
    requirements = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    (lowest,) = [found[1] for line in requirements if (found := re.match(r"torch>=([\d.]+),", line))]
    (pinned,) = re.findall(r"^torch==(\S+)$", (ROOT / "constraints.txt").read_text(), re.M)
    first, last = compat.TESTED
    assert first.startswith(f"{lowest}.") if bound == "lowest" else pinned == last
