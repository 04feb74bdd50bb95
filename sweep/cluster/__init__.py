"""The cluster: is its file sound, is it up, is it well, is it gone. ``python -m sweep.cluster --help``."""
