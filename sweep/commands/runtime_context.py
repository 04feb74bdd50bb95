"""Where the nodes find the inputs of a study."""

from __future__ import annotations

from dataclasses import replace

from sweep.commands.preparation import PreparedStudy
from sweep.monitor.console import Terminal
from trainables.runtime import RuntimeContext
from trainables.store.node_inputs import offer_data, offer_weights
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
    )


def cluster_runtime(prepared: PreparedStudy, checkpoint_seconds: float, terminal: Terminal) -> RuntimeContext:
    """Copy the inputs to the storage, for nodes that do not see this machine's disks; return their runtime context.

    Args:
        prepared: the study and its inputs.
        checkpoint_seconds: least time between two checkpoints of a stage in the study.
        terminal: where to print what was copied.
    """
    inputs = prepared.inputs
    depot = Storage(prepared.study.storage.above).child(PREPARED)
    sent = [
        file.path.name for file in inputs.weights.values() if offer_weights(depot, file.sha256, file.path.absolute())
    ]
    if not depot.is_local:  # prepared data are below the storage already
        sent += [name for name, data in inputs.data.items() if offer_data(depot, data.folder)]
    if sent:
        terminal.say(f"sent to {depot.path()} for the nodes: {', '.join(dict.fromkeys(sent))}")
    return replace(local_runtime(prepared, checkpoint_seconds), depot=depot.location)
