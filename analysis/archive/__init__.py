"""Pack a study for publication, and check a packed one."""
