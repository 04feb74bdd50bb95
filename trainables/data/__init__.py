"""Data sets: reading, packing, dividing, augmenting, batching."""
