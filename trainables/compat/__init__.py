"""Private parts of dependencies that ``trainables`` relies on, one module a dependency. Nothing else may use any."""
