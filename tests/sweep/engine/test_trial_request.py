"""Requests as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from sweep.engine.trial_request import TrialRequest
from sweep.plan.plan import Plan
from tests.sweep.support.in_memory_backend import RUNTIME


def test_a_request_survives_its_serialisation(planned: Callable[..., Plan], grid_text: str) -> None:
    plan = planned(
        grid_text,
        "scenarios.Start={start: imagenet}",
        "weights.imagenet={tiny: {file: x}}",
        "learning_rate=[0.1, 1.0e-7]",
        "architectures.tiny.options={patch_size: 8, names: [é, ☃]}",
    )
    assert {stage.initial.source for stage in plan.stages} == {"random", "stage", "file"}
    for attempt, stage in enumerate(plan.stages, 1):
        request = TrialRequest(stage, "s3://bucket/a study é", RUNTIME, attempt)
        again = TrialRequest.loads(request.dumps())
        assert again == request
        assert again.stage.key == stage.key
        assert again.runtime.keep_weights == "pretrain"


def test_a_changed_request_is_refused(plan: Plan) -> None:
    content = json.loads(TrialRequest(plan.stages[0], "x", RUNTIME, 1).dumps())
    content["stage"]["learning_rate"] = 0.5
    with pytest.raises(ValueError, match="is not that of its content"):
        TrialRequest.loads(json.dumps(content))
