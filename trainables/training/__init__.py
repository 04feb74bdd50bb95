"""The training loop, its step, schedule, metrics and checkpoints."""
