"""From a grid to stages with keys: inputs, planner, reuse, reconciliation with what is done."""
