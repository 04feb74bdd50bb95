"""Checks of heat maps: deletion and insertion, random weights, overlap with masks."""
