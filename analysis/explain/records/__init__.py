"""The record of an explanation, and reading it back."""
