"""The tables of the report, one module a subject."""
