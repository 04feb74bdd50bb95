"""Trained networks of a study, found by stage or by row, their weights verified before they are used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from analysis.results.collect import collect
from analysis.results.plan_file import explain
from trainables.errors import UserError, suggestion
from trainables.specs import Stage
from trainables.store import layout
from trainables.store.stage_lookup import find_begun
from trainables.store.study import SELECTED_ON, StageFolder, Study

if TYPE_CHECKING:
    from analysis.results.collect import Collected
    from analysis.results.verify import Cell
    from trainables.models.backbones import Backbone

SHORTEST_KEY = 6
"""So many characters of a key at least name a stage."""


@dataclass(frozen=True)
class TrainedModel:
    """A finished stage whose weights were kept.

    Attributes:
        stage: its specification.
        result: the content of ``result.json``.
    """

    stage: Stage
    result: Mapping[str, Any]
    folder: StageFolder

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the logits."""
        return self.stage.data.classes

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of the weights, as the stage wrote them."""
        return str(self.result["digests"][layout.WEIGHTS])

    def weights(self) -> bytes:
        """Return the bytes of the weights, verified.

        Raises:
            UserError: if they are not what the stage wrote.
        """
        try:
            return self.folder.read_verified(layout.WEIGHTS, dict(self.result))
        except ValueError as error:
            raise UserError(
                f"{error}. Run the stage again: delete its folder, then give the command of the run"
            ) from error

    def backbone(self) -> Backbone:
        """Return the network with its trained weights, head included.

        Raises:
            UserError: if the weights are not what the stage wrote, or the architecture cannot be built.
        """
        from trainables.models.backbones import build
        from trainables.models.weights import unpack_weights

        backbone = build(self.stage.model, self.stage.recipe.image_size, len(self.classes))
        backbone.module.load_state_dict(unpack_weights(self.weights()))
        backbone.module.eval()
        return backbone


def of_stage(study: Study, wanted: str) -> TrainedModel:
    """Return the trained stage of a key (its first six characters or more), a name or a folder's name.

    Raises:
        UserError: if there is none, or several, or it has no weights.
    """
    return open_trained(find_begun(study, wanted))


def of_row(study: Study, wanted: str) -> tuple[tuple[TrainedModel, Cell], ...]:
    """Return the trained nets of a row, ``ARCHITECTURE,SCENARIO``: the chosen cell of each run, verified.

    Raises:
        UserError: if there is no such row, it has no run that counts, or weights were not kept.
    """
    collected = collect(study)
    return tuple((open_trained(cell.folder), cell) for cell in cells_of_row(collected, wanted))


def cells_of_row(collected: Collected, wanted: str) -> tuple[Cell, ...]:
    """Return the chosen cells of a row.

    Raises:
        UserError: if there is no such row, or it has no run that counts.
    """
    row = row_named(collected, wanted, "--row")
    cells = tuple(cell for cell in collected.chosen if (cell.planned.architecture, cell.planned.scenario) == row)
    if not cells:
        reasons = {out.reason for out in collected.left_out if (out.planned.architecture, out.planned.scenario) == row}
        raise UserError(f"--row {wanted}: no run of it counts ({'; '.join(sorted(reasons)) or 'none was planned'})")
    return cells


def row_named(collected: Collected, wanted: str, option: str) -> tuple[str, str]:
    """Return the row of the plan that ``ARCHITECTURE,SCENARIO`` names.

    Raises:
        UserError: if there is none.
    """
    architecture, _, scenario = (part.strip() for part in wanted.partition(","))
    if (architecture, scenario) in collected.plan.rows:
        return architecture, scenario
    rows = [",".join(row) for row in collected.plan.rows]
    known = suggestion(f"{architecture},{scenario}", rows) or f"; there are {'; '.join(rows)}"
    raise UserError(f"{option} {wanted}: the study has no such ARCHITECTURE,SCENARIO{known}")


def open_trained(folder: StageFolder) -> TrainedModel:
    """Return the trained stage of a folder, its specification and result checked.

    Raises:
        UserError: if it is not finished, not whole, or its weights were not kept.
    """
    try:
        stage, result = Stage.from_document(folder.stage()), folder.result()
    except (ValueError, OSError) as error:
        raise UserError(f"the stage {folder.path()} cannot be read: {explain(error)}") from error
    if result is None:
        raise UserError(f"the stage {folder.name} has no result yet. Finish it: give the command of the run again")
    if result.get("key") != stage.key or result.get("selected_on") != SELECTED_ON:
        raise UserError(
            f"{folder.path(layout.RESULT)} is not the result of this stage, or was not chosen on {SELECTED_ON}"
        )
    if layout.WEIGHTS not in result.get("digests", {}):
        why = result.get("weights") or "dropped"
        raise UserError(f"the weights of {folder.name} were not kept ({why}). Train it with keep_weights: all")
    return TrainedModel(stage, result, folder)
