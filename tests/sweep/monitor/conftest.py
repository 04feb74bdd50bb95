"""A small plan, and a live view of it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sweep.monitor.live_view import LiveView
from sweep.plan.plan import Plan
from tests.sweep.support.live_views import view_of


@pytest.fixture
def plan(planned: Callable[..., Plan], grid_text: str) -> Plan:
    """One pre-training and eight cells of one architecture."""
    return planned(grid_text)


@pytest.fixture
def view(plan: Plan) -> LiveView:
    return view_of(plan)
