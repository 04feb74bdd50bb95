"""Private parts of dependencies that ``sweep`` relies on, one module a dependency. Nothing else may use any."""
