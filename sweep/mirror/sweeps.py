"""The study as a W&B sweep, whose page shows parallel coordinates and parameter importance.

Ray runs the stages; no W&B agent is involved. A run belongs to a sweep because the sweep's id is in its settings.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from typing import Any

from sweep.mirror.client import client
from sweep.mirror.run_fields import METRIC
from sweep.mirror.run_link import write_study_link
from trainables.store.study import Study


def sweep_config(name: str, axes: dict[str, list[Any]]) -> dict[str, Any]:
    """Return the configuration of the sweep, with the axes of the grid as its parameters.

    Args:
        name: of the study.
        axes: values of each axis over the cells. None stands for a learning rate that a range test will find; an axis
            without any other value is no parameter.
    """
    values = {axis: [value for value in found if value is not None] for axis, found in axes.items()}
    return {
        "name": name,
        "method": "grid",
        "program": "sweep.run",
        "metric": {"name": METRIC, "goal": "maximize"},
        "parameters": {axis: {"values": found} for axis, found in values.items() if found},
    }


def create_sweep(study: Study, project: str, entity: str, runs: Sequence[str] = ()) -> str:
    """Create the study's sweep and write its id to the study's ``wandb.json``.

    Args:
        study: the study.
        project: of W&B.
        entity: of W&B.
        runs: ids of existing runs, to be attached.

    Returns:
        id of the sweep.

    Raises:
        Exception: whatever the client raises.
    """
    config = sweep_config(str((study.header or {}).get("name")), study.plan["axes"])
    with contextlib.redirect_stdout(io.StringIO()):  # the client prints, and would disturb the live view
        sweep = str(client().sweep(config, entity=entity, project=project, prior_runs=list(runs) or None))
    write_study_link(study.storage, project=project, entity=entity, sweep=sweep)
    return sweep
