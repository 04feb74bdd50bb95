"""The grid as it is written: its keys, their types and defaults. Unknown keys are errors."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Discriminator, Field, Tag, field_validator

from sweep.grid.editions import FIRST, LATEST
from trainables.data.readers.data_spec import DataSpec
from trainables.data.splits.splits import SplitSpec
from trainables.frozen import Frozen
from trainables.normalisation import Normalisation
from trainables.runtime import KeepWeights
from trainables.specs import ModelSpec, Ramp

ALL: Literal["all"] = "all"
CHECKED_LATER = ConfigDict(allow_inf_nan=True)
"""Rates that are not finite are refused with a message of their own: see ``tidy_rate``."""


class WeightsSource(Frozen):
    """Source of initial weights: a file, or a version that torchvision or timm publishes."""

    file: str | None = Field(None, description="name below --weights")
    version: str | None = Field(None, description="e.g. IMAGENET1K_V2 (torchvision) or a1_in1k (timm)")
    normalisation: Normalisation | None = Field(
        None,
        description="mean and SD of the images they were trained on; it goes over recipe.normalisation",
    )


class Scenario(Frozen):
    """How a model comes by its initial weights."""

    start: str = Field("random", description="random, or a name under `weights:`")
    pretrain: tuple[str, ...] = Field((), description="data sets it is trained on before, in this order")

    @field_validator("pretrain", mode="before")
    @classmethod
    def _one_or_several(cls, value: Any) -> Any:
        """Allow a single name in the place of a list."""
        return (value,) if isinstance(value, str) else value


class RateTable(Frozen):
    """Start rates for each scenario and architecture, times factors."""

    model_config = CHECKED_LATER
    table: dict[str, dict[str, float]] = Field(description="scenario -> architecture -> rate")
    times: tuple[float, ...] = (1.0,)


class RangeTest(Ramp):
    """A learning-rate range test: by default one for each fold, on its train and val parts."""

    share: bool = Field(
        False,
        description="one test, on fold 0, serves all folds: images that test one fold then choose the rate of others",
    )


class RangeRates(Frozen):
    """Start rates that range tests find, times factors."""

    model_config = CHECKED_LATER
    range_test: RangeTest
    times: tuple[float, ...] = (1.0,)
    overrides: dict[str, dict[str, float | dict[str, Any]]] = Field(
        {}, description="scenario -> architecture -> other fields of the test, or a rate that needs no test"
    )


def _kind_of_rates(value: Any) -> str:
    """Return the tag of the member of ``Rates`` that a value is meant to be."""
    if isinstance(value, dict):
        return "of_range_test" if "range_test" in value else "of_table"
    if isinstance(value, RateTable | RangeRates):
        return "of_range_test" if isinstance(value, RangeRates) else "of_table"
    return "several" if isinstance(value, list | tuple) else "one"


Rates = Annotated[
    Annotated[float, Tag("one")]
    | Annotated[tuple[float, ...], Tag("several")]
    | Annotated[RateTable, Tag("of_table")]
    | Annotated[RangeRates, Tag("of_range_test")],
    Discriminator(_kind_of_rates),
]


class Axes(Frozen):
    """What is varied. Every combination is a cell.

    Besides the axes below, any setting of a recipe or of a pre-training set may be an axis, by its dotted name:
    ``recipe.batch_size: [16, 32]``.
    """

    model_config = ConfigDict(allow_inf_nan=True, extra="allow")
    __pydantic_extra__: dict[str, tuple[Any, ...]]
    architecture: tuple[str, ...]
    scenario: tuple[str, ...] | Literal["all"] = ALL
    fold: tuple[int, ...] | Literal["all"] = ALL
    learning_rate: Rates
    seed: tuple[int, ...] = (0,)

    @property
    def settings(self) -> dict[str, tuple[Any, ...]]:
        """The axes that are settings: dotted name -> values."""
        return dict(self.__pydantic_extra__)


class Rule(Frozen):
    """Settings for the stages that match. If two rules set the same key, the more specific one counts."""

    match: dict[str, Any]
    set: dict[str, Any]


class GridFile(Frozen):
    """The content of a grid file."""

    study: str | None = Field(None, description="name of the study, if the command line gives none")
    edition: int = Field(
        LATEST, ge=FIRST, le=LATEST, strict=True, description="of the defaults; a study keeps the one it was begun with"
    )
    target: str = Field(description="the data set that is divided into folds and reported on")
    data: dict[str, DataSpec]
    split: SplitSpec = SplitSpec()
    weights: dict[str, dict[str, WeightsSource]] = Field({}, description="set of weights -> architecture -> source")
    architectures: dict[str, ModelSpec] = Field({}, description="names of one's own for models with options")
    scenarios: dict[str, Scenario]
    axes: Axes
    zip: tuple[tuple[str, ...], ...] = Field((), description="groups of axes that go together, value by value")
    rule_values: Literal["as_written", "converted"] = Field(
        "as_written",
        description="how values of `exclude` and `defaults.match` are compared: as YAML reads them, or converted like the "
        "axis, and each listed value must match something",
    )
    exclude: tuple[dict[str, Any], ...] = Field((), description="rules: the cells that match one are left out")
    recipe: dict[str, Any] = Field({}, description="how every stage trains")
    pretrain: dict[str, Any] = Field({}, description="changes of the recipe, and learning_rate, for pre-training")
    finetune: dict[str, Any] = Field({}, description="changes of the recipe for fine-tuning")
    defaults: tuple[Rule, ...] = Field((), description="changes of the recipe for the stages that match")
    keep_weights: KeepWeights = Field("all", description="which trained weights stay in the study")
