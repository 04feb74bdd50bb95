"""The readers that come with the project: a module each."""
