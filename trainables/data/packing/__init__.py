"""Decode a data set once into memory-mapped files."""
