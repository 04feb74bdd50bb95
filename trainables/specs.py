"""The specification of a stage, in full: what is done, with what. Where it runs is not in it.

Every field that can change a result is here and goes into the key. Unknown fields are refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from trainables.entry_spec import (
    AS_WRITTEN,
    EntrySpec,
    Plugin,
    check_entry,
    complete_entries,
    complete_options,
)
from trainables.frozen import Frozen
from trainables.hashing import digest, short_key
from trainables.later_fields import without_later_defaults
from trainables.normalisation import Normalisation

Kind = Literal["lr_range", "pretrain", "finetune"]

SEMANTICS: dict[str, int] = {"lr_range": 1, "pretrain": 1, "finetune": 1}
"""Version of what a kind of stage does. Raised when the same specification would give another result."""


class Augmentation(Frozen):
    """Random changes of training images, drawn for each image by (seed, fold, epoch, image).

    All but ``operations`` are one warp and one linear map of the colours; the operations come after them, in their order.
    """

    flip: bool = Field(True, description="mirror left-right and up-down, each with probability 1/2")
    rotate: float = Field(180.0, ge=0, le=180, description="largest rotation, degrees, either way")
    scale: float = Field(0.1, ge=0, lt=1, description="largest relative change of size")
    shift: float = Field(0.05, ge=0, le=0.5, description="largest shift, as a share of the edge")
    brightness: float = Field(0.1, ge=0, lt=1, description="largest relative change")
    contrast: float = Field(0.1, ge=0, lt=1, description="largest relative change about mid-grey")
    saturation: float = Field(0.1, ge=0, le=1, description="largest relative change")
    stain: float = Field(0.05, ge=0, lt=1, description="largest relative change of each colour channel by itself")
    operations: tuple[EntrySpec, ...] = Field((), description="further changes, by the name of their entry")

    @field_validator("operations")
    @classmethod
    def _are_known(cls, operations: tuple[EntrySpec, ...], info: ValidationInfo) -> tuple[EntrySpec, ...]:
        return complete_entries("augmentation", operations, info)


ENTRY_FIELDS = {"optimizer": "optimizer", "decay": "learning-rate schedule", "stopping": "stopping rule"}
"""Field of a recipe that names an entry -> its kind. Its options are in the field of the same name and ``_options``."""


class Recipe(Frozen):
    """How a stage trains. The batch is the global one, whatever the number of workers."""

    image_size: int = Field(224, ge=16, description="edge of the square input, pixels")
    epochs: int = Field(20, ge=1)
    batch_size: int = Field(32, ge=1, description="images a step, over all workers")
    micro_batch: int | None = Field(
        None, ge=1, description="images a worker takes at once; gradients add up to the batch; None: its whole share"
    )
    optimizer: str = Field("sgd", description="an entry of trainables/training/optimizers")
    optimizer_options: dict[str, Any] = Field(
        {}, validate_default=True, description="of the optimizer: those it has beside the settings of this recipe"
    )
    momentum: float = Field(0.9, ge=0, lt=1, description="of SGD; beta1 of AdamW")
    weight_decay: float = Field(1e-4, ge=0)
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    class_weights: Literal["none", "balanced"] = "none"
    clip_norm: float | None = Field(None, gt=0, description="largest norm of the gradient")
    decay: str = Field("constant", description="learning-rate schedule, an entry of trainables/training/lr_schedule.py")
    decay_options: dict[str, Any] = Field(
        {}, validate_default=True, description="of the schedule, as for the optimizer"
    )
    decay_epochs: int = Field(7, ge=1, description="step: epochs between two drops; plateau: epochs waited")
    decay_factor: float = Field(0.1, gt=0, le=1, description="step, plateau: per drop; exponential: over the whole run")
    warmup_epochs: float = Field(0.0, ge=0)
    patience: int | None = Field(None, ge=1, description="epochs without a better val score before stopping early")
    stopping: str = Field("patience", description="rule, an entry of trainables/training/early_stopping.py")
    stopping_options: dict[str, Any] = Field({}, validate_default=True, description="of the rule")
    metrics: tuple[EntrySpec, ...] = Field(
        (), description="computed beside those that always are; an entry of trainables/training/metrics.py"
    )
    epoch_ties: Literal["earliest", "val_loss"] = Field(
        "earliest",
        description="which of the epochs with the highest val f1_macro is kept: the earliest; or that of the lowest val "
        "loss, of several the latest",
    )
    precision: Literal["float32", "bf16"] = "float32"
    normalisation: Normalisation | None = Field(None, description="None: of the library's default weights")
    threads: int = Field(1, ge=1, description="CPU threads of one worker: other counts give other bits")
    compile: bool = Field(False, description="torch.compile the network: minutes at the start, faster steps after")
    augmentation: Augmentation = Augmentation()

    @field_validator(*ENTRY_FIELDS)
    @classmethod
    def _is_known(cls, name: str, info: ValidationInfo) -> str:
        check_entry(ENTRY_FIELDS[str(info.field_name)], name, info)
        return name

    @field_validator(*(f"{field}_options" for field in ENTRY_FIELDS))
    @classmethod
    def _are_complete(cls, options: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        field = str(info.field_name).removesuffix("_options")
        if field not in info.data:  # its name is refused already
            return options
        return complete_options(ENTRY_FIELDS[field], info.data[field], options, info)

    @field_validator("metrics")
    @classmethod
    def _are_known(cls, metrics: tuple[EntrySpec, ...], info: ValidationInfo) -> tuple[EntrySpec, ...]:
        names = [metric.name for metric in metrics]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise PydanticCustomError("twice", "{text}", {"text": f"metrics names {', '.join(twice)} twice"})
        return complete_entries("metric", metrics, info)

    def plugins(self) -> tuple[Plugin, ...]:
        """Return the entries of other distributions that this recipe uses, by kind and name."""
        used = [(kind, getattr(self, field)) for field, kind in ENTRY_FIELDS.items()]
        used += [("metric", metric.name) for metric in self.metrics]
        used += [("augmentation", operation.name) for operation in self.augmentation.operations]
        return tuple(plugin for kind, name in sorted(set(used)) if (plugin := Plugin.of(kind, name)) is not None)


class ModelSpec(Frozen):
    """A network: ``torchvision/NAME``, ``timm/NAME`` or ``package.module:CLASS`` with its own options."""

    model: str
    options: dict[str, Any] = Field({}, description="of the constructor")


class RandomWeights(Frozen):
    """Start from the random initialisation of the architecture's constructor."""

    source: Literal["random"] = "random"


class FileWeights(Frozen):
    """Start from a file of weights: the backbone, without its head."""

    source: Literal["file"] = "file"
    name: str = Field(description="what the grid calls these weights, e.g. imagenet")
    sha256: str | None = Field(description="digest of the file; None where it is not at hand (planning only)")


class Ramp(Frozen):
    """A learning-rate range test (Smith 2017): the rate rises from step to step, the loss is watched."""

    start: float = Field(1e-5, gt=0)
    end: float = Field(0.1, gt=0)
    steps: int = Field(100, ge=10)
    mode: Literal["linear", "exponential"] = "exponential"
    loss: Literal["val", "train"] = "val"
    val_images: int = Field(256, ge=1, description="val images looked at after each step, always the same")
    smoothing: float = Field(0.8, ge=0, lt=1, description="weight of the past in the smoothed loss")
    diverged: float = Field(4.0, gt=1, description="the test ends where the smoothed loss is so many times its lowest")
    rule: Literal["steepest", "halfway", "valley", "tenth", "median"] = Field(
        "steepest", description="where on the curve the rate is chosen, see docs/training.md"
    )
    edge_steps: int | None = Field(
        None,
        ge=0,
        description="a choice within so many steps of an end of the curve is not taken: the fallback is used",
    )
    least_drop: float = Field(
        0.02, ge=0, lt=1, description="share of the first loss by which it must fall for a rate to be chosen"
    )
    fallback: float = Field(gt=0, description="the rate where the curve has no clear minimum")

    @model_validator(mode="after")
    def _rises(self) -> Ramp:
        if self.end <= self.start:
            raise ValueError(f"end ({self.end:g}) must lie above start ({self.start:g})")
        return self


class FoundRate(Frozen):
    """A start rate that a range test finds, times a factor."""

    key: str | None = Field(description="key of the range test")
    times: float = Field(1.0, gt=0)


class StageWeights(Frozen):
    """Start from the backbone that an upstream stage trained."""

    source: Literal["stage"] = "stage"
    key: str | None


class StandInWeights(Frozen):
    """Random weights in the place of a file that is not at hand. In a rehearsal only: nothing of it counts."""

    source: Literal["stand_in"] = "stand_in"
    name: str = Field(description="what the grid calls the weights it stands in for")


InitialWeights = Annotated[RandomWeights | FileWeights | StageWeights | StandInWeights, Field(discriminator="source")]


class StageData(Frozen):
    """The data of a stage: name in the grid, content, classes, and the split it is divided by."""

    name: str
    fingerprint: str | None
    classes: tuple[str, ...]
    size: int | None = Field(description="edge of the packed images, pixels; None: as they are")
    reader: Plugin | None = Field(None, description="what read the data, if another distribution publishes it")


class Stage(Frozen):
    """One unit of work, fully resolved. Immutable; its ``key`` is its identity."""

    kind: Kind
    name: str
    architecture: str
    scenario: str
    fold: int | None
    learning_rate: float | None = Field(description="start rate; None where a range test finds it, or is one")
    seed: int
    split: str | None
    upstream: tuple[str, ...] = Field(description="keys of the stages whose results it needs (names where unknown)")
    model: ModelSpec
    initial: InitialWeights
    data: StageData
    recipe: Recipe
    ramp: Ramp | None = Field(None, description="of an lr_range stage")
    found_rate: FoundRate | None = Field(None, description="where the start rate comes from, if a range test finds it")
    plugins: tuple[Plugin, ...] = Field(
        (), validate_default=True, description="entries of other distributions in its recipe; found where none is given"
    )

    @field_validator("plugins")
    @classmethod
    def _of_the_recipe(cls, given: tuple[Plugin, ...], info: ValidationInfo) -> tuple[Plugin, ...]:
        if given or info.context == AS_WRITTEN or "recipe" not in info.data:
            return given
        recipe: Recipe = info.data["recipe"]
        return recipe.plugins()

    @model_validator(mode="after")
    def _has_one_rate(self) -> Stage:
        given = [self.learning_rate is not None, self.found_rate is not None, self.ramp is not None]
        if sum(given) != 1 or (self.ramp is not None) != (self.kind == "lr_range"):
            raise ValueError(
                "a stage trains at a rate, or at one that a range test found; an lr_range stage has a ramp"
            )
        return self

    @cached_property
    def key(self) -> str | None:
        """SHA-256 of the full specification, or None while an input is not at hand."""
        content = self.identity()
        unknown = (
            self.data.fingerprint,
            self.split,
            content["initial"].get("sha256", ""),
            content["initial"].get("key", ""),
            (content.get("found_rate") or {}).get("key", ""),
        )
        return None if None in unknown else digest(content)

    def identity(self) -> dict[str, Any]:
        """Return what is hashed: everything but the labels that people read."""
        # Not mode="json": it would turn NaN, a set or a path among the options into something else, unsaid.
        content = self.model_dump(exclude={"name", "architecture", "scenario"})
        content["data"].pop("name")
        content["initial"].pop("name", None)
        content["semantics"] = SEMANTICS[self.kind]
        return without_later_defaults(content)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Stage:
        """Return a changed copy. It has a key of its own: pydantic would copy the cached one."""
        copy = super().model_copy(update=update, deep=deep)
        copy.__dict__.pop("key", None)
        return copy

    @property
    def identifier(self) -> str:
        """The key of the stage, or its name while the key is unknown."""
        return self.key or self.name

    @property
    def folder(self) -> str:
        """Name of the stage's folder in the study.

        Raises:
            ValueError: if the key is not known yet.
        """
        if self.key is None:
            raise ValueError(f"stage {self.name} has no key yet: an input is missing")
        return f"{self.kind}-{self.name}-{short_key(self.key)}"

    def document(self) -> dict[str, Any]:
        """Return the content of ``stage.json``."""
        return {"key": self.key, "semantics": SEMANTICS[self.kind], **self.model_dump(mode="json")}

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> Stage:
        """Read a ``stage.json``.

        Raises:
            ValueError: if it is not a stage of this version, or its key is not that of its content.
        """
        fields = {name: value for name, value in document.items() if name not in ("key", "semantics")}
        stage = cls.model_validate(fields, context=AS_WRITTEN)
        if stage.key != document.get("key"):
            raise ValueError(f"stage {stage.name}: key {document.get('key')} is not that of its content ({stage.key})")
        return stage
