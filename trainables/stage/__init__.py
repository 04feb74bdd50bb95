"""One stage, from its specification to its committed folder."""
