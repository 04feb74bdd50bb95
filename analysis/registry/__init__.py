"""Registries of what can be added to a report in one file, or by another distribution."""
