"""The nodes of a running cluster: waiting for them, their health, pre-emption notices, taking them down."""
