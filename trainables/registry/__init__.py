"""Where a user adds things: entries by name, the project's own and those that others publish."""
