"""Data set layouts: which images there are, with their labels and groups."""
