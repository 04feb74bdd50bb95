"""Networks by name, with their initial weights, parameters and FLOPs."""
