"""Questions about networks and files of weights that need torch, answered by a child process and remembered.

A plan never imports torch. So what only torch can tell is asked of ``trainables.models.inspection_child``, all questions at
once, and an answer that was no fault is kept in a file, by the digest of the question, of the files of weights and code
that it is about, and the versions of torch and its libraries.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from trainables.child_process import ChildAnswer, run_child
from trainables.hashing import digest, file_sha256

CHILD = "trainables.models.inspection_child"
START_SECONDS, SECONDS_EACH = 180.0, 120.0
"""Time that the child may take: to import torch from a slow drive, and for each question."""
LIBRARIES = ("torch", "torchvision", "timm", "safetensors")


@dataclass(frozen=True)
class Question:
    """One question.

    Attributes:
        kind: ``count`` a network, ``read`` a file of weights, or ``try`` a network with its weights.
        subject: what it is about, in the words of a message.
        content: plain values: the model, its input, ….
        file: of weights.
        sha256: of this file.
    """

    kind: Literal["count", "read", "try"]
    subject: str
    content: Mapping[str, Any]
    file: Path | None = None
    sha256: str | None = None

    def name(self) -> str:
        """Return its digest."""
        return digest([self.kind, dict(self.content), self.sha256, versions()])

    def request(self) -> dict[str, Any]:
        """Return what the child is told."""
        return {"kind": self.kind, "content": dict(self.content), "file": None if self.file is None else str(self.file)}


@dataclass(frozen=True)
class Answer:
    """What became of a question.

    Attributes:
        value: the answer.
        fault: a sentence on what is wrong; None if nothing is.
    """

    value: Any = None
    fault: str | None = None


@cache
def versions() -> tuple[str, ...]:
    """Return the versions of the libraries that answers depend on, without importing them."""
    found = []
    for library in LIBRARIES:
        with suppress(metadata.PackageNotFoundError):
            found.append(f"{library} {metadata.version(library)}")
    return tuple(found)


def ask(questions: Sequence[Question], memory: Path) -> list[Answer]:
    """Answer questions, those that are not remembered in a child process.

    Args:
        questions: any number.
        memory: file of the answers; it may be absent.

    Returns:
        The answers, in the order of the questions.
    """
    known = _read(memory)
    names = [question.name() for question in questions]
    new = [i for i, name in enumerate(names) if not _holds(known.get(name))]
    answers = {i: Answer(known[names[i]]["value"]) for i in range(len(questions)) if i not in set(new)}
    if new:
        for i, told in zip(new, _ask_child([questions[i] for i in new]), strict=True):
            answers[i] = Answer(told.get("value"), told.get("fault"))
            if told.get("fault") is None:
                known[names[i]] = told
        _write(memory, known)
    return [answers[i] for i in range(len(questions))]


def _holds(entry: Any) -> bool:
    """Return whether a remembered answer still holds: the code it is about is as it was."""
    if not isinstance(entry, dict) or not isinstance(entry.get("code"), dict) or "value" not in entry:
        return False
    return all(Path(file).is_file() and file_sha256(Path(file)) == sha256 for file, sha256 in entry["code"].items())


def _ask_child(questions: Sequence[Question]) -> list[dict[str, Any]]:
    """Return an answer to each question: ``value`` and ``code``, or ``fault``."""
    answers: list[dict[str, Any]] = []
    while left := questions[len(answers) :]:
        request = json.dumps([question.request() for question in left])
        came = run_child(CHILD, request, START_SECONDS + SECONDS_EACH * len(left))
        told = [json.loads(line) for line in came.output.splitlines(keepends=True) if line.endswith("\n")]
        if len(told) < len(left):  # the next one ended the child; those after it are asked again
            told.append({"fault": _end(came)})
        answers += told
    return [
        told | {"fault": f"{question.subject}: {told['fault']}"} if told.get("fault") is not None else told
        for question, told in zip(questions, answers, strict=True)
    ]


def _end(came: ChildAnswer) -> str:
    if came.timed_out:
        return "it was not looked at within minutes: it hangs, or is too large for this machine"
    return f"it ended the process that looked at it (memory may have run out): {came.complaint or f'its exit status is {came.status}'}"


def _read(memory: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(memory.read_text(encoding="utf-8")))
    except (OSError, TypeError, ValueError):
        return {}


def _write(memory: Path, known: Mapping[str, Any]) -> None:
    with suppress(OSError):  # without a writable cache it is asked again next time
        memory.parent.mkdir(parents=True, exist_ok=True)
        partial = memory.with_suffix(f".{os.getpid()}.partial")
        partial.write_text(json.dumps(known), encoding="utf-8")
        partial.replace(memory)
