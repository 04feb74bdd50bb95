"""The child process that looks at networks and files of weights with torch. Started by ``trainables.models.inspection``."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from trainables.errors import UserError
from trainables.hashing import file_sha256
from trainables.models.complexity import CLASSES, Complexity, forward_cost
from trainables.specs import ModelSpec


def main(request: str) -> None:
    """Answer questions in order, each with a line of JSON on standard output."""
    answer_to = os.dup(1)
    os.dup2(2, 1)  # what a network prints is no answer
    with os.fdopen(answer_to, "w", encoding="utf-8", buffering=1) as stream:
        for asked in json.loads(request):
            stream.write(json.dumps(answer(asked)) + "\n")


def answer(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``value`` and ``code`` (file -> SHA-256 of the code it is about), or ``fault``.

    Args:
        asked: as ``Question.request`` returns it.
    """
    content, file = asked["content"], asked["file"]
    before = set(sys.modules)
    try:
        value = KINDS[asked["kind"]](content, None if file is None else Path(file))
    except UserError as error:
        return {"fault": "; ".join(error.faults)}
    except Exception as error:  # noqa: BLE001 - a class of the user's may raise anything
        return {"fault": f"{type(error).__name__}: {error}"}
    return {"value": value, "code": _code(content.get("model", {}).get("model", ""), before)}


def count(content: Mapping[str, Any], file: Path | None) -> list[Any]:
    """Return what is counted of a network, as a row of the table."""
    from trainables.models.backbones import construct, own_normalisation

    spec, edge = ModelSpec.model_validate(content["model"]), content["edge"]
    module = construct(spec, edge, CLASSES)
    normalised = own_normalisation(module)
    gigaflops, depthwise = forward_cost(module, edge, "cpu")
    if gigaflops is None:
        from trainables.models.network_trial import try_batches

        try_batches(spec, edge, CLASSES, (), None)  # says why, unless it is the counting that fails
    parameters = sum(p.numel() for p in module.parameters())
    return list(
        Complexity(parameters, gigaflops, edge, {}, depthwise, {"": [list(normalised.mean), list(normalised.std)]})
    )


def read(content: Mapping[str, Any], file: Path | None) -> list[Any]:
    """Return what a file of weights that torch saved holds, as a ``WeightsSummary``."""
    from trainables.models.weights import read_with_notes
    from trainables.models.weights_file import summary

    state, notes = read_with_notes(Path(str(file)))
    broken = sorted(name for name, tensor in state.items() if tensor.isnan().any())
    if broken:
        raise UserError(f"{file} holds NaN, not numbers, in {', '.join(broken[:8])}")
    return list(summary({name: tuple(tensor.shape) for name, tensor in state.items()}, notes))


def try_network(content: Mapping[str, Any], file: Path | None) -> None:
    """Build a network, load its weights and have it look at batches of noise.

    Raises:
        UserError: if one of these fails, or its answer is not one logit for each image and class.
    """
    from trainables.models.network_trial import try_batches

    spec = ModelSpec.model_validate(content["model"])
    try_batches(spec, content["edge"], content["classes"], content["batches"], file)


KINDS: dict[str, Callable[[Mapping[str, Any], Path | None], Any]] = {
    "count": count,
    "read": read,
    "try": try_network,
}


def _code(model: str, before: set[str]) -> dict[str, str]:
    """Return file -> SHA-256 of the code of a user's class: its package, and what it imported that is not installed."""
    package, colon, _ = model.partition(":")
    if not colon:
        return {}
    top, installed = package.partition(".")[0], (sys.prefix, sys.base_prefix)
    found = {}
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        own = name.partition(".")[0] == top
        if (
            file is not None
            and (own or (name not in before and not file.startswith(installed)))
            and Path(file).is_file()
        ):
            found[str(Path(file).resolve())] = file_sha256(Path(file))
    return found


if __name__ == "__main__":
    main(sys.stdin.read())
