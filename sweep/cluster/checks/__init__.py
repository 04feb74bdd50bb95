"""Checks of a cluster file before it costs anything."""
