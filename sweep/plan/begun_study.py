"""The splits that a study was begun with. They are read from it and never drawn again: another version may draw others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import yaml

from trainables.data.packing.prepare import Packed
from trainables.data.readers.data_spec import DataSpec
from trainables.data.splits.splits import Split, SplitSpec
from trainables.store import layout
from trainables.store.study import Study, split_digest

DIVIDING = ("duplicates", "keep", "exclude_target", "leave_out", "at_most")
"""Fields of a data set that say which images a split holds, or holds together, and are not seen in the fingerprint."""


@dataclass(frozen=True)
class BegunStudy:
    """What a study says of its splits.

    Attributes:
        study: the study.
        header: its ``study.json``.
        plan: its ``plan.json``.
        grid: its ``grid.yaml``.
    """

    study: Study
    header: dict[str, Any]
    plan: dict[str, Any]
    grid: dict[str, Any]

    def digest(self, name: str, spec: DataSpec, data: Packed, how: SplitSpec) -> str | None:
        """Return the digest of the study's split of a data set; None if it has none of these data divided in this way.

        Args:
            name: of the data set.
            spec: how it is read.
            data: the data set.
            how: it is to be divided.
        """
        try:
            kept, is_target = self.plan["splits"][name], name == self.header["target"]
            fingerprint = self.header["fingerprint"] if is_target else kept.get("fingerprint")
            digest = str(self.header["split"] if is_target else kept["digest"])
            same = fingerprint == data.fingerprint and kept["digest"] == digest
            same = same and SplitSpec.model_validate(self.grid["split"]) == how
            return digest if same and not self._divided_otherwise(name, spec) else None
        except (ValueError, KeyError, TypeError, AttributeError):
            return None  # it is drawn, and compared with the header

    def read(self, name: str, digest: str) -> Split | None:
        """Return a split of the study; None if its file is absent or not what its digest says."""
        try:
            kept, table = self.plan["splits"][name], self.study.read_split(digest)
            if split_digest(table) != digest:
                return None
            return Split(table, digest, str(kept["proof"]), tuple(map(str, kept["notes"])))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _divided_otherwise(self, name: str, spec: DataSpec) -> bool:
        before, now = self.grid["data"][name], spec.model_dump(mode="json")
        defaults = type(spec).model_fields
        return any(
            before[field] != now[field] if field in before else getattr(spec, field) != defaults[field].default
            for field in DIVIDING
        )


def begun_study(study: Study) -> BegunStudy | None:
    """Return what a study says of its splits; None if it was not begun, or cannot be read (which its header's check tells)."""
    try:
        header = study.header
        if header is None:
            return None
        grid = yaml.safe_load(study.storage.read(layout.GRID))
        return BegunStudy(study, header, study.storage.read_json(layout.PLAN), grid)
    except (OSError, ValueError, TypeError, yaml.YAMLError):
        return None
