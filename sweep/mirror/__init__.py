"""The mirror in Weights & Biases: what stages learn streams there for people to watch. Nothing depends on it."""
