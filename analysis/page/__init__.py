"""The report page: its sections, methods paragraph and template."""
