"""The colours of drawings on a light and on a dark background. Their contrasts are tested."""

from __future__ import annotations

from collections.abc import Mapping

from analysis.figures.drawing.shapes import Role

LIGHT: Mapping[Role, str] = {
    "paper": "#ffffff",
    "ink": "#1d2327",
    "soft": "#5a6570",
    "line": "#d5dade",
    "accent": "#0b5c7d",
    "second": "#a34400",
    "heat": "#003049",
    "on-low": "#000000",
    "on-high": "#ffffff",
}
DARK: Mapping[Role, str] = {
    "paper": "#14181b",
    "ink": "#e4e8eb",
    "soft": "#a3adb5",
    "line": "#3a434b",
    "accent": "#7cc4e4",
    "second": "#ffb27a",
    "heat": "#6cb0d0",
    "on-low": "#ffffff",
    "on-high": "#000000",
}
DARK_FROM = 0.65
"""Opacity of heat from which text on it takes the role ``on-high``: both text colours have a contrast of 4.5 there."""


def css() -> str:
    """Return the CSS that colours drawings in the page: dark with a dark colour scheme on screen, else light."""
    dark = f"@media screen and (prefers-color-scheme: dark) {{\n{_rules(DARK)}\n}}"
    return f"{_rules(LIGHT)}\n{dark}"


def _rules(colours: Mapping[Role, str]) -> str:
    return "\n".join(
        f".f-{role} {{ fill: {colour}; }} .s-{role} {{ stroke: {colour}; }}" for role, colour in colours.items()
    )
