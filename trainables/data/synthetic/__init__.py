"""Generated image sets, for a study without any data."""
