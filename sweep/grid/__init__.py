"""The grid file: schema, loading, validation, axes, rules, learning rates."""
