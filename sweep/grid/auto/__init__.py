"""Settings that a grid may leave to the project."""
