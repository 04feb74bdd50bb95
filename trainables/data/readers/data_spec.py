"""A data set as a grid writes it under ``data:``: one of the project's readers, or one that another distribution publishes."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Union

from pydantic import ConfigDict, Discriminator, Field, Tag, model_validator
from pydantic_core import PydanticCustomError

from trainables.data.readers.base import READING, DataSource, ImageEntry, Listing, readers
from trainables.entry_options import checked_options
from trainables.entry_spec import Plugin
from trainables.errors import UserError

PLUGIN = "plugin"


class PluginDataSource(DataSource):
    """A data set that a published reader lists. The reader's own options are further fields.

    Attributes:
        plugin: distribution and version that publish the reader. Found, whatever is written: another version of a
            reader lists and decodes anew.
    """

    model_config = ConfigDict(extra="allow")

    plugin: str = Field("", description="found: distribution and version that publish the reader")

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, content: Any) -> Any:
        """Check the options in a child process, and write out the defaults of the reader."""
        if not isinstance(content, dict):
            return content
        name = content["reader"]
        try:
            options = checked_options("reader", name, {field: v for field, v in content.items() if field != PLUGIN})
            source = readers.source(name)
        except UserError as error:
            raise PydanticCustomError("options", "{text}", {"text": "; ".join(error.faults)}) from error
        return options | ({PLUGIN: f"{source.distribution} {source.version}"} if source else {})

    def scan(self, root: Path) -> Listing:
        """List all images, by the reader itself, which is imported now.

        Args:
            root: folder of the data sets, ``--data``.

        Raises:
            UserError: if the reader cannot be imported, fails, or lists what is no image.
        """
        reader = readers[self.reader].model_validate(self.options())
        try:
            with redirect_stdout(sys.stderr):  # what it prints is none of a command's output
                listing = reader.scan(root)
        except (UserError, OSError):
            raise
        except (Exception, SystemExit) as error:
            raise UserError(f"{self._whose} failed in {root}: {type(error).__name__}: {error}") from error
        for item in listing.items:
            _refuse_other_types(self._whose, item)
        return listing

    @property
    def _whose(self) -> str:
        return f"the reader {self.reader} of {self.plugin}"

    def options(self) -> dict[str, Any]:
        """Return all fields of the reader as plain values."""
        return self.model_dump(mode="json", exclude={PLUGIN})


def _refuse_other_types(whose: str, item: ImageEntry) -> None:
    """Refuse what is no text: nobody else checks what a published reader lists, and tables and keys are made of it."""
    values = {"image_id": item.image_id, "label": item.label, "group": item.group, "part": item.part}
    for name, value in values.items():
        if not (isinstance(value, str) or (value is None and name in ("group", "part"))):
            raise UserError(f"{whose} lists the image {item.image_id!r} with {name} {value!r}: it should be text")


def reader_plugin(spec: DataSource) -> Plugin | None:
    """Return who publishes the reader of a data set, with its options; None: it is the project's own.

    How every data set is read (``READING``) is not among them: it stands in the fingerprint.
    """
    return (
        Plugin.of("reader", spec.reader, {name: value for name, value in spec.options().items() if name not in READING})
        if isinstance(spec, PluginDataSource)
        else None
    )


def _tag(content: Any) -> str | None:
    """Which alternative of ``DataSpec`` a data set is: the name of a reader of the project's own, or ``plugin``."""
    name = content.get("reader") if isinstance(content, dict) else getattr(content, "reader", None)
    if not isinstance(name, str):
        return None
    return PLUGIN if name in readers.published() else name


if TYPE_CHECKING:
    DataSpec = DataSource
else:
    DataSpec = Annotated[
        Union[
            *(Annotated[reader, Tag(name)] for name, reader in readers.own().items()),
            Annotated[PluginDataSource, Tag(PLUGIN)],
        ],
        Discriminator(_tag),
    ]
"""The type of a data set in a grid. ``reader`` says which alternative it is."""
