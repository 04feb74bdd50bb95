"""The child process that checks the options of a published entry. Started by ``trainables.entry_options``."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from trainables.entry_options import completed
from trainables.errors import UserError


def main(request: str) -> None:
    """Complete the options of a request and write the answer, one JSON object, to standard output."""
    answer_to = os.dup(1)
    os.dup2(2, 1)  # what the entry prints when it is imported is no answer
    asked = json.loads(request)
    answer: dict[str, Any]
    try:
        answer = {"options": completed(asked["kind"], asked["name"], asked["options"])}
    except UserError as error:
        answer = {"faults": list(error.faults)}
    with os.fdopen(answer_to, "w", encoding="utf-8") as stream:
        json.dump(answer, stream)


if __name__ == "__main__":
    main(sys.stdin.read())
