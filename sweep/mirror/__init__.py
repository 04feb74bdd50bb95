"""The mirror in Weights & Biases: copies of metrics and results for people to watch. Nothing is ever read back from it."""
