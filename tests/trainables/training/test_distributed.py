"""Tests of the workers of a stage, without a second process."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from trainables.errors import StageError
from trainables.training.distributed import DistributedContext, data_parallel, with_sync_batch_norm

CPU = DistributedContext(torch.device("cpu"))


def test_batch_norm_over_several_cpu_workers_is_refused_with_the_reason() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
    assert with_sync_batch_norm(module, CPU) is module
    with pytest.raises(StageError, match="has 1 batch norm layers, and torch synchronises them .* GPUs only"):
        with_sync_batch_norm(module, DistributedContext(torch.device("cpu"), 0, 2))
    assert with_sync_batch_norm(nn.LayerNorm(3), DistributedContext(torch.device("cpu"), 0, 2))


def test_one_worker_needs_nobody() -> None:
    module = nn.Linear(3, 2)
    assert data_parallel(module, CPU) is module
    assert CPU.is_main
    CPU.barrier()
    assert not CPU.any_preempted()
    assert CPU.all_reduce(np.array([1.5, 2.0])).tolist() == [1.5, 2.0]
    rows = np.arange(6, dtype=np.float32).reshape(3, 2)
    assert np.array_equal(CPU.all_gather(rows, 3), rows)
    with pytest.raises(RuntimeError, match="worker 0 of 1 scored 3 of its 4 images"):
        CPU.all_gather(rows, 4)
