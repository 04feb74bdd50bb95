"""Tests of the Ray cluster of this machine's own: closed to who has no token."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

LATE = """
import ray
from sweep.ray_session import ray_session
with ray_session(None) as capacity:
    from ray._raylet import AuthenticationMode, get_authentication_mode
    print(get_authentication_mode() == AuthenticationMode.TOKEN, len(capacity().nodes))
"""


@pytest.mark.slow
def test_a_program_that_imported_ray_first_gets_a_closed_cluster_too() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH")}
    ran = subprocess.run(
        [sys.executable, "-c", LATE], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert ran.stdout.split() == ["True", "1"], ran.stderr[-2000:]
