"""Labels and groups in one form: what looks the same to people is the same, and what is missing is no name."""

from __future__ import annotations

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Sequence

MISSING = frozenset({"nan", "<na>", "nat"})
"""Texts that stand for a missing value, in lower case: what pandas and Arrow make of one when it becomes text."""
DOUBTFUL = frozenset({"na", "n/a", "none", "null", "-", "?"})
"""Texts that may stand for a missing value, or be a name. They are said."""


def one_form(text: str) -> str:
    """Return a text without space around it, in the Unicode form NFC."""
    return unicodedata.normalize("NFC", text).strip()


def is_missing(text: str | None) -> bool:
    """Whether a value is absent, empty, or a missing value that became text."""
    return text is None or not text.strip() or text.strip().lower() in MISSING


def tidy_texts(what: str, given: Sequence[str | None]) -> tuple[list[str | None], list[str]]:
    """Return names in one form, missing ones as None; and notes on what was changed or is doubtful.

    Args:
        what: they are: label or group.
        given: of each image.
    """
    counts = Counter(given)
    form = {text: None if text is None or is_missing(text) else one_form(text) for text in counts}
    notes = []
    merged = defaultdict[str, list[str]](list)
    for text, tidy in form.items():
        if text is not None and tidy is not None:
            merged[tidy].append(text)
    for tidy, texts in sorted(merged.items()):
        if texts != [tidy]:
            images = sum(counts[text] for text in texts if text != tidy)
            notes.append(f"{what} {tidy}: {images:,} images had it as {', '.join(repr(t) for t in texts if t != tidy)}")
        if tidy.lower() in DOUBTFUL:
            images = sum(counts[text] for text in texts)
            notes.append(f"{what} {tidy} ({images:,} images) reads like a missing value; it counts as a name")
    alike = defaultdict[str, list[str]](list)
    for tidy in sorted(merged):
        alike[tidy.casefold()].append(tidy)
    notes += [f"{what}s that differ in case alone: {', '.join(texts)}" for texts in alike.values() if len(texts) > 1]
    absent = sum(count for text, count in counts.items() if text is not None and form[text] is None)
    if absent:
        each = "; each such image is a group of its own" if what == "group" else ""
        notes.append(f"{what} missing (empty or NaN): {absent:,} images{each}")
    most = 12
    return [form[text] for text in given], notes[:most] + (
        [f"and {len(notes) - most} more notes on {what}s"] if len(notes) > most else []
    )
