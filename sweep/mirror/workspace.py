"""A saved workspace view and a report in W&B, built with wandb-workspaces from the study's tables."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

from sweep.compat.wandb import set_view_identity, view_identity
from sweep.mirror.client import client
from sweep.mirror.run_fields import METRIC
from sweep.mirror.run_link import read_study_link, write_study_link
from sweep.mirror.settings import MirrorSettings
from trainables.store.study import Study

RANGE = {"groupby_aggfunc": "mean", "groupby_rangefunc": "stddev"}
NOTE = "The tables are made from the study folder, whose results were verified. The panels show what was logged during training."


def save_view(study: Study, settings: MirrorSettings) -> str:
    """Save the workspace view of a study, replacing an earlier one.

    Args:
        study: the study; the id of its view is kept in its ``wandb.json``.
        settings: where its runs are.

    Returns:
        address of the view.

    Raises:
        Exception: whatever the client raises.
    """
    client()
    workspaces: Any = importlib.import_module("wandb_workspaces.workspaces")

    known = read_study_link(study.storage)
    axes = _axes(study)
    view = workspaces.Workspace(
        name=f"study {settings.study}",
        entity=settings.entity,
        project=settings.project,
        sections=[
            workspaces.Section(name="Cells", panels=_cell_panels(axes), is_open=True),
            workspaces.Section(name="Curves", panels=_curve_panels(), is_open=True),
            workspaces.Section(name="Pictures", panels=_image_panels(), is_open=False),
        ],
        runset_settings=workspaces.RunsetSettings(
            filters=_cells_only(settings), groupby=[workspaces.Config("architecture"), workspaces.Config("scenario")]
        ),
    )
    if known.get("view_name"):
        set_view_identity(view, known["view_name"], known["view_id"])
    view.save()
    name, view_id = view_identity(view)
    write_study_link(study.storage, view=view.url, view_name=name, view_id=view_id)
    return str(view.url)


def save_report(study: Study, settings: MirrorSettings, tables: Sequence[str]) -> str:
    """Save the W&B report of a study, replacing an earlier one.

    Args:
        study: the study; the id of its report is kept in its ``wandb.json``.
        settings: where its runs are.
        tables: of the analysis, as Markdown.

    Returns:
        address of the report.

    Raises:
        Exception: whatever the client raises.
    """
    client()
    reports = _reports()

    known = read_study_link(study.storage)
    runs = reports.Runset(
        entity=settings.entity, project=settings.project, name=settings.study, filters=_cells_only(settings)
    )
    text: list[Any] = [reports.MarkdownBlock(text=table) for table in tables]
    report = reports.Report(
        entity=settings.entity,
        project=settings.project,
        title=f"Study {settings.study}",
        description=f"Study {settings.uid}",
        blocks=[
            reports.MarkdownBlock(text=NOTE),
            *text,
            reports.PanelGrid(runsets=[runs], panels=[*_cell_panels(_axes(study)), *_curve_panels()]),
        ],
    )
    if known.get("report_id"):
        report.id = known["report_id"]
    report.save()
    write_study_link(study.storage, report=report.url, report_id=report.id)
    return str(report.url)


def _reports() -> Any:
    return importlib.import_module("wandb_workspaces.reports.v2")  # type checkers cannot follow its types


def _cells_only(settings: MirrorSettings) -> str:
    """Filter for the cells of this study: a project holds other studies, and pre-training is scored on other data."""
    return f"Config('study') = '{settings.study}' and Config('kind') = 'finetune'"


def _axes(study: Study) -> list[str]:
    return [axis for axis, values in study.plan["axes"].items() if len(values) > 1]


def _cell_panels(axes: Sequence[str]) -> list[Any]:
    reports = _reports()

    column = reports.ParallelCoordinatesPlotColumn
    columns = [column(metric=reports.Config(axis), log=axis == "learning_rate" or None) for axis in axes]
    score = column(metric=reports.SummaryMetric(METRIC))
    wide = reports.Layout(w=24, h=10)
    return [
        reports.ParallelCoordinatesPlot(columns=[*columns, score], layout=wide),
        reports.ParameterImportancePlot(with_respect_to=METRIC),
        reports.BarPlot(title="val F1, mean and SD over runs", metrics=[METRIC], groupby="scenario", **RANGE),
    ]


def _curve_panels() -> list[Any]:
    reports = _reports()

    curves = ("train_loss", "val_loss", "val_f1_macro", "learning_rate")
    return [reports.LinePlot(title=name, x="epoch", y=[name], groupby="scenario", **RANGE) for name in curves]


def _image_panels() -> list[Any]:
    reports = _reports()

    return [reports.MediaBrowser(media_keys=[name]) for name in ("confusion_matrix", "range_test")]
