"""Whether a heat map can be relied on: sanity checks against untrained weights, deletion and insertion, masks."""
