"""Trained networks of a study, found by stage or by row; weights are verified before use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from analysis.results.plan_file import RowName, one_line
from trainables.errors import UserError, suggestion
from trainables.specs import Stage
from trainables.store import layout
from trainables.store.stage_lookup import find_begun
from trainables.store.study import SELECTED_ON, StageFolder, Study

if TYPE_CHECKING:
    import torch

    from analysis.results.collect import Collected
    from analysis.results.verify import Cell
    from trainables.models.backbones import Backbone


@dataclass(frozen=True)
class TrainedModel:
    """A finished stage whose weights were kept.

    Attributes:
        stage: its specification.
        result: content of ``result.json``.
        folder: its folder.
        allow_code: whether the study may choose code: a network that is not known by name is imported.
    """

    stage: Stage
    result: Mapping[str, Any]
    folder: StageFolder
    allow_code: bool = False

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the logits."""
        return self.stage.data.classes

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of the weights as the stage wrote them."""
        return str(self.result["digests"][layout.WEIGHTS])

    def weights(self) -> bytes:
        """Return the verified bytes of the weights.

        Raises:
            UserError: if they are missing or changed.
        """
        try:
            return self.folder.read_verified(layout.WEIGHTS, dict(self.result))
        except ValueError as error:
            raise UserError(
                f"{error}. Run the stage again: delete its folder, then give the command of the run"
            ) from error

    def backbone(self) -> Backbone:
        """Return the network with its trained weights, in evaluation mode on the CPU.

        Raises:
            UserError: if the weights are missing, changed or of another network, or the network cannot be built.
        """
        from trainables.models.backbones import build
        from trainables.models.weights import unpack_weights

        self._refuse_foreign()
        recipe = self.stage.recipe
        try:
            state = unpack_weights(self.weights())
            backbone = build(self.stage.model, recipe.image_size, len(self.classes), recipe.normalisation)
            backbone.module.load_state_dict(state)
        except (RuntimeError, ValueError, TypeError, MemoryError) as error:
            raise UserError(
                f"the weights in {self.folder.path()} do not fit {self.stage.model.model}: {one_line(error)}"
            ) from error
        backbone.module.eval()
        return backbone

    def _refuse_foreign(self) -> None:
        """Raise UserError where the specification, which may be somebody else's, asks for more than a known network."""
        from trainables.models.named_networks import what_is_foreign

        found = None if self.allow_code else what_is_foreign(self.stage.model, self.stage.recipe.image_size)
        if found is not None:
            raise UserError(
                f"{self.folder.path(layout.STAGE)} names {found}: to load it could run code or open files of the study's "
                "choice. Nothing was loaded. If you trust whoever made the study, add --allow-code"
            )


def inference_device() -> torch.device:
    """Return the GPU, if there is one, else the CPU."""
    import torch

    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def find_trained(study: Study, wanted: str, allow_code: bool = False) -> TrainedModel:
    """Return the trained network of a stage.

    Args:
        study: the study.
        wanted: its key (the first characters suffice), its name, or the name of its folder.
        allow_code: see ``TrainedModel``.

    Raises:
        UserError: if there is no such stage, or several, or it has no weights.
    """
    return open_trained(find_begun(study, wanted), allow_code)


def cells_of_row(collected: Collected, wanted: str) -> tuple[Cell, ...]:
    """Return the chosen cells of a row.

    Args:
        collected: the study.
        wanted: ``ARCHITECTURE,SCENARIO``.

    Raises:
        UserError: if there is no such row, or no run of it counts.
    """
    row = row_named(collected, wanted, "--row")
    cells = tuple(collected.chosen_by_row.get(row, ()))
    if not cells:
        reasons = {left_out.reason for left_out in collected.left_out if left_out.planned.row == row}
        raise UserError(f"--row {wanted}: no run of it counts ({'; '.join(sorted(reasons)) or 'none was planned'})")
    return cells


def row_named(collected: Collected, wanted: str, option: str) -> RowName:
    """Return the planned row of a name.

    Args:
        collected: the study.
        wanted: ``ARCHITECTURE,SCENARIO``.
        option: of the command line that gave it, for the message.

    Raises:
        UserError: if there is none.
    """
    architecture, _, scenario = (part.strip() for part in wanted.partition(","))
    if (architecture, scenario) in collected.plan.rows:
        return architecture, scenario
    rows = [",".join(row) for row in collected.plan.rows]
    known = suggestion(f"{architecture},{scenario}", rows) or f"; there are {'; '.join(rows)}"
    raise UserError(f"{option} {wanted}: the study has no such ARCHITECTURE,SCENARIO{known}")


def open_trained(folder: StageFolder, allow_code: bool = False) -> TrainedModel:
    """Return the trained network of a stage folder, with its specification and result checked.

    Args:
        folder: of the stage.
        allow_code: see ``TrainedModel``.

    Raises:
        UserError: if the stage is not finished, its files are damaged, or its weights were not kept.
    """
    try:
        stage, result = Stage.from_document(folder.stage()), folder.result()
    except (ValueError, OSError) as error:
        raise UserError(f"the stage {folder.path()} cannot be read: {one_line(error)}") from error
    if result is None:
        raise UserError(f"the stage {folder.name} has no result yet. Finish it: give the command of the run again")
    if result.get("key") != stage.key or result.get("selected_on") != SELECTED_ON:
        raise UserError(
            f"{folder.path(layout.RESULT)} is not the result of this stage, or was not chosen on {SELECTED_ON}"
        )
    digests = result.get("digests")
    if not isinstance(digests, dict) or layout.WEIGHTS not in digests:
        why = result.get("weights") or "dropped"
        raise UserError(
            f"the weights of {folder.name} were not kept ({why}). Set keep_weights: all in the grid, delete this stage's "
            "folder and run the grid again"
        )
    return TrainedModel(stage, result, folder, allow_code)
