"""Finding a private part of a dependency, or failing with a message that names what relies on it."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest


class Part(NamedTuple):
    """A private part of a dependency.

    Attributes:
        module: that has it.
        name: dotted, within the module.
        used_by: our function that relies on it; its docstring says what breaks without it.
        parameters: names of its parameters, if it can be inspected and we pass them.
    """

    module: str
    name: str
    used_by: Callable[..., Any]
    parameters: tuple[str, ...] | None = None

    def __str__(self) -> str:
        """Return the full name, also as the id of a test."""
        return f"{self.module}.{self.name}"


def find(part: Part, distribution: str) -> Any:
    """Return a private part; fail the test if the installed version has moved, removed or changed it."""
    relies = f"{part.used_by.__module__}.{part.used_by.__name__} relies on it: {inspect.getdoc(part.used_by)}"
    version = f"{distribution} {metadata.version(distribution)}"
    try:
        found: Any = importlib.import_module(part.module)
        for name in part.name.split("."):
            found = getattr(found, name)
    except (ImportError, AttributeError) as error:
        pytest.fail(f"{version} has no {part} ({error}). {relies}")
    if part.parameters is not None:
        has = tuple(inspect.signature(found).parameters)
        if has[: len(part.parameters)] != part.parameters:
            pytest.fail(f"{version}: {part} has the parameters {has}, expected {part.parameters}. {relies}")
    return found


def private_imports(module: ModuleType) -> Iterator[str]:
    """Yield ``module.name`` of everything with a private or generated part in its name that a module imports."""
    for node in ast.walk(ast.parse(Path(str(module.__file__)).read_text())):
        for alias in node.names if isinstance(node, ast.ImportFrom) else ():
            whole = f"{node.module}.{alias.name}"  # type: ignore[attr-defined]
            if re.search(r"(^|\.)(_[^_]|generated\b)", whole):
                yield whole
