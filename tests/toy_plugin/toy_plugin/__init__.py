"""Entries that a distribution outside the project publishes."""
