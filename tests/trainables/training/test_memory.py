"""What a stage on a CPU keeps for its next step, and gives back at its end."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
STEPS = """
import json, resource, sys
import psutil, torch
from trainables.training import memory

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

torch.set_num_threads(1)
network = torch.nn.Sequential(*(torch.nn.Conv2d(8, 8, 3, padding=1) for _ in range(4)))

def step():
    network(torch.zeros(8, 8, 256, 256)).sum().backward()  # 17 MB a layer

if sys.argv[1] == "keep":
    memory.keep_for_next_step(torch.device("cpu"))
for _ in range(5):
    step()
before = faults()
for _ in range(10):
    step()
found = {"faults": (faults() - before) / 10, "kept": psutil.Process().memory_info().rss}
memory.trim()
print(json.dumps(found | {"trimmed": psutil.Process().memory_info().rss}))
"""


def measured(how: str) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-c", STEPS, how], cwd=ROOT, capture_output=True, text=True, timeout=120, check=True
    )
    return dict(json.loads(done.stdout))


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_a_step_asks_the_system_for_no_page_again_and_the_end_returns_them() -> None:
    kept, plain = measured("keep"), measured("leave")
    pages = 4 * 8 * 8 * 256 * 256 * 4 / 4096
    assert plain["faults"] > pages / 2, "without it every page is asked for again, or this test tests nothing"
    assert kept["faults"] < plain["faults"] / 4
    assert kept["kept"] - kept["trimmed"] > 50e6
