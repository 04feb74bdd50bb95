"""Attaching a study's runs to its W&B sweep afterwards: a sweep cannot be created offline."""

from __future__ import annotations

from dataclasses import replace

from sweep.mirror.run_link import read_study_link
from sweep.mirror.settings import MirrorSettings
from sweep.mirror.sweeps import create_sweep
from sweep.mirror.sync import attach_each, runs_of
from trainables.store.study import Study


def attach(study: Study, settings: MirrorSettings) -> tuple[str, int]:
    """Attach the runs that the server knows; return the id of the sweep and how many were attached now.

    A sweep that is made now takes them in as its earlier runs. To one that is there already they go one by one.

    Raises:
        Exception: whatever the client raises.
    """
    sweep = read_study_link(study.storage).get("sweep")
    if sweep:
        return sweep, attach_each(study, replace(settings, sweep=sweep))
    runs = runs_of(study)
    sweep = create_sweep(study, settings.project, str(settings.entity), sorted(runs))
    for folder, link in runs.values():
        replace(link, sweep=sweep).write(folder)
    return sweep, len(runs)
