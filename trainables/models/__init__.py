"""Networks by name, their initial weights, their parameters and FLOPs."""
