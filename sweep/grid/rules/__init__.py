"""Rules of a grid: when one matches, what its values stand for, and settings by their dotted names."""
