"""Augmentations beyond the built-in warp and colour map: a module each."""
