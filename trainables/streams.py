"""Standard output and error of a command, made to take any text in any locale, and to outlive who reads them."""

from __future__ import annotations

import codecs
import errno
import io
import os
import stat
import sys
from typing import Any

PLAIN = {"±": "+/-", "×": "x", "→": "->", "–": "-", "—": "-", "·": "-", "…": "...", "≤": "<=", "≥": ">=", "²": "^2"}
"""What is written for a character that the terminal's encoding lacks. Any other is written as its escape."""
HANDLER = "sweep-plain"
UTF8_MODE = "PYTHONUTF8"
"""Variable of Python: file names, files and streams are UTF-8 whatever the locale says."""


_LINES = "\n\t"


def harmless(text: str) -> str:
    """Return a text for a terminal: control characters, which could move its cursor or rewrite its lines, as escapes.

    Args:
        text: of one line or more; ends of lines and tabs stay.
    """
    return "".join(one if one.isprintable() or one in _LINES else ascii(one)[1:-1] for one in text)


class _Outliving(io.FileIO):
    """A file descriptor that becomes the null device once its reader is gone: a closed pipe, or a terminal that hung up."""

    def write(self, content: Any, /) -> int:
        try:
            return super().write(content)
        except OSError as error:
            if not self._is_gone(error.errno):
                raise
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)
            return super().write(content)

    def _is_gone(self, number: int | None) -> bool:
        is_terminal = stat.S_ISCHR(os.fstat(self.fileno()).st_mode)  # on a disk EIO means damage, not a hang-up
        return number == errno.EPIPE or (number == errno.EIO and is_terminal)


def steady_streams() -> None:
    """Prepare the standard streams of a command, before it writes anything. To be called by its entry point alone.

    A character that the locale cannot show is replaced, not an error after hours of work. What is written after the reader
    has gone (``| head``, a closed terminal) is dropped, and the command goes on. In a locale whose file names are not UTF-8
    the command is started again with Python's UTF-8 mode, which its processes inherit: names of images and classes must not
    depend on the locale.
    """
    if sys.getfilesystemencoding() != "utf-8" and UTF8_MODE not in os.environ:
        os.environ.setdefault("PYTHONIOENCODING", sys.__stdout__.encoding if sys.__stdout__ else "utf-8")
        os.environ[UTF8_MODE] = "1"
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - this very command
    codecs.register_error(HANDLER, _plain)
    for name in ("stdout", "stderr"):
        setattr(sys, name, _steady(getattr(sys, name)))


def _steady(stream: Any) -> Any:
    if stream is None:  # it was closed before the command began
        return open(os.devnull, "w", encoding="utf-8")
    stream.flush()
    raw = _Outliving(stream.fileno(), "wb", closefd=False)
    return io.TextIOWrapper(
        raw if stream.write_through else io.BufferedWriter(raw),
        encoding=stream.encoding,
        errors=HANDLER,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


def _plain(error: UnicodeError) -> tuple[str, int]:
    """Replace what an encoding lacks. It follows the protocol of ``codecs.register_error``."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(PLAIN.get(one) or ascii(one)[1:-1] for one in lacking), error.end
