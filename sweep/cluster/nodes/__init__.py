"""The nodes of a running cluster: waiting for them, their health, preemption notices, termination."""
