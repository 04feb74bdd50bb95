"""Optimizers: a module each."""
