"""Check a cluster file; wait for, examine and terminate a cluster. ``python -m sweep.cluster --help``."""
