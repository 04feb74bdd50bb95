"""The study folder on a path or an object store."""
