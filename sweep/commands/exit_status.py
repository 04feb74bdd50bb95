"""Exit statuses of ``sweep.run``: part of its contract. A run that a signal interrupts ends with 128 + its number."""

DONE = 0
"""All stages are done."""
FAILED = 1
"""A stage failed; the others were run."""
BAD_INPUT = 2
"""The input is wrong; nothing was started."""
HELD = 3
"""Another driver holds the study."""
NO_CLUSTER = 4
"""Ray did not start, or the node of the driver was lost. The same command may succeed."""
STOPPED = 130
"""A limit stopped the run before all stages were done, as Ctrl-C does. The same command resumes."""
