"""What a person sees while a study runs: console, live view, score matrix, progress."""
