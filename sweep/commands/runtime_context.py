"""Where the nodes find the inputs of a study."""

from __future__ import annotations

import time
from dataclasses import replace

from sweep.commands.preparation import PreparedStudy
from sweep.monitor.console import Terminal
from trainables.runtime import RuntimeContext
from trainables.store.node_inputs import upload_data, upload_weights
from trainables.store.storage import PREPARED, Storage, node_cache


def local_runtime(prepared: PreparedStudy, checkpoint_seconds: float) -> RuntimeContext:
    """Return the runtime context of stages on this machine.

    Args:
        prepared: the study and its inputs.
        checkpoint_seconds: least time between two checkpoints of a stage in the study.
    """
    inputs, study = prepared.inputs, prepared.study
    return RuntimeContext(
        {name: str(data.folder.absolute()) for name, data in inputs.data.items()},
        {file.sha256: str(file.path.absolute()) for file in inputs.weights.values()},
        prepared.plan.grid.file.keep_weights,
        checkpoint_seconds,
        # An object store is slow to write to: more checkpoints, between those, are on the node's own disk.
        scratch=None if study.storage.is_local else str(node_cache() / "checkpoints"),
        data_since=time.time(),
    )


def cluster_runtime(prepared: PreparedStudy, checkpoint_seconds: float, terminal: Terminal) -> RuntimeContext:
    """Copy the inputs to the storage, for nodes that do not see this machine's disks; return their runtime context.

    Args:
        prepared: the study and its inputs.
        checkpoint_seconds: least time between two checkpoints of a stage in the study.
        terminal: where to print what was copied.
    """
    inputs = prepared.inputs
    artifacts = Storage(prepared.study.storage.parent).child(PREPARED)
    sent = [
        file.path.name
        for file in inputs.weights.values()
        if upload_weights(artifacts, file.sha256, file.path.absolute())
    ]
    if not artifacts.is_local:  # prepared data are below the storage already
        sent += [name for name, data in inputs.data.items() if upload_data(artifacts, data.folder)]
    if sent:
        terminal.say(f"uploaded to {artifacts.path()} for the nodes: {', '.join(dict.fromkeys(sent))}")
    return replace(local_runtime(prepared, checkpoint_seconds), artifact_store=artifacts.location)
