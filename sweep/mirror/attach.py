"""Attach the runs of a study to its W&B sweep after the fact: a sweep cannot be created offline."""

from __future__ import annotations

from dataclasses import replace

from sweep.mirror.run_link import read_study_link
from sweep.mirror.settings import MirrorSettings
from sweep.mirror.sweeps import create_sweep
from sweep.mirror.sync import attach_each, online_runs
from trainables.store.study import Study


def attach(study: Study, settings: MirrorSettings) -> tuple[str, int]:
    """Attach every run that the server has to the study's sweep, which is created if there is none.

    A new sweep is created with the runs as its prior runs. To an existing sweep they are attached one by one.

    Args:
        study: the study.
        settings: where its runs are.

    Returns:
        id of the sweep, number of runs attached by this call.

    Raises:
        Exception: whatever the client raises.
    """
    sweep = read_study_link(study.storage).get("sweep")
    if sweep:
        return sweep, attach_each(study, replace(settings, sweep=sweep))
    runs = online_runs(study)
    sweep = create_sweep(study, settings.project, str(settings.entity), sorted(runs))
    for folder, link in runs.values():
        replace(link, sweep=sweep).write(folder)
    return sweep, len(runs)
