"""What the values of a rule mean: each is converted like the values of the axis that it is compared with.

YAML reads ``1e-2`` as text and ``0`` as a whole number; the field they are for takes both as a number. A rule value stands
for the values of the axis that are equal to it once both are converted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from sweep.grid.rules.nesting import changed_data, nested
from trainables.data.readers.data_spec import DataSpec
from trainables.entry_spec import SECTION
from trainables.errors import suggestion
from trainables.specs import Recipe

_TYPES: dict[str, TypeAdapter[Any]] = {
    "seed": TypeAdapter(int),
    "fold": TypeAdapter(int | None),
    "learning_rate": TypeAdapter(float | None),
}
"""Label -> type of its values; text where none stands here. None: the fold of a pre-training, the rate of a range test."""
_MAX_LISTED = 8


@dataclass(frozen=True)
class RuleValues:
    """The labels that rules match on, with the values that cells or stages have.

    Attributes:
        known: label -> its values.
        data: the data sets of the grid, by name.
        as_written: whether values are compared as YAML reads them, as the first edition did.
    """

    known: Mapping[str, tuple[Any, ...]]
    data: Mapping[str, DataSpec]
    as_written: bool = False

    @cached_property
    def _converted(self) -> dict[str, list[tuple[Any, Any]]]:
        """Label -> its values, each as converted and as it is."""
        return {
            name: [(converted(self.data, name, value), value) for value in values]
            for name, values in self.known.items()
        }

    def meant(self, name: str, wanted: Any) -> list[Any]:
        """Return the values of a label that a rule value stands for.

        Args:
            name: of the label.
            wanted: one value of the rule.
        """
        kept = converted(self.data, name, wanted)
        return [value for one, value in self._converted[name] if one == kept]

    def resolved(self, match: Mapping[str, Any]) -> dict[str, Any]:
        """Return a rule with the values of the labels in the place of its own. Labels that are not known stay.

        Args:
            match: label -> the value it must have, or a list of values of which it must have one.
        """
        if self.as_written:
            return dict(match)
        return {
            name: [value for one in listed(wanted) for value in self.meant(name, one)] if name in self.known else wanted
            for name, wanted in match.items()
        }

    def nearest(self, name: str, wanted: Any) -> str:
        """Return a hint at the values that a label has, the nearest to a wanted one where there is an order.

        Args:
            name: of the label.
            wanted: a value that it never has.
        """
        values = list(self.known[name])
        numbers = [(kept, value) for kept, value in self._converted[name] if _is_number(kept)]
        number = converted(self.data, name, wanted)
        if numbers and _is_number(number):
            return f"; the nearest is {min(numbers, key=lambda pair: abs(pair[0] - number))[1]}"
        rest = f", and {len(values) - _MAX_LISTED} more" if len(values) > _MAX_LISTED else ""
        among = f"; {name} is one of {', '.join(map(str, values[:_MAX_LISTED]))}{rest}"
        return suggestion(str(wanted), map(str, values)) or among


def listed(wanted: Any) -> list[Any]:
    """Return the values of which a rule wants one."""
    return wanted if isinstance(wanted, list) else [wanted]


def converted(data: Mapping[str, DataSpec], name: str, value: Any) -> Any:
    """Return a value as the field that a label stands for takes it; as it is where the field does not take it.

    Args:
        data: the data sets of the grid, by name.
        name: of the label: a named axis, or a setting by its dotted path.
        value: as the grid gives it.
    """
    section, *path = name.split(".")
    try:
        if not path:
            return _named(name, value)
        if section == "data":
            return getattr(changed_data(data[path[0]], {path[1]: value}), path[1])
        return _inner(Recipe.model_validate(nested(path, value), context=SECTION), path)
    except (ValidationError, LookupError, AttributeError):
        return value


def _named(name: str, value: Any) -> Any:
    kept = _TYPES[name].validate_python(value) if name in _TYPES else value
    return float(f"{kept:.12g}") if isinstance(kept, float) else kept  # as ``tidy_rate`` rounds


def _inner(recipe: BaseModel, path: list[str]) -> Any:
    value: Any = recipe
    for part in path:
        value = value[part] if isinstance(value, dict) else getattr(value, part)
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
