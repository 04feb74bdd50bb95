"""The processes of a run, by their names."""

from __future__ import annotations

from contextlib import suppress

import psutil

TRIAL = ("ray::StageTrial", "ray::ResourceTrainable")
"""Begins the title of a trial process: between two calls of Tune, and in one."""


def family(driver: int, *names: str) -> list[psutil.Process]:
    """The living processes below a driver that have one of these names in their command."""
    found = []
    with suppress(psutil.Error):
        for child in psutil.Process(driver).children(recursive=True):
            with suppress(psutil.Error):  # gone, or dead and not buried
                if any(name in " ".join(child.cmdline()) for name in names):
                    found.append(child)
    return found
