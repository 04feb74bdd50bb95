"""W&B runs that were recorded offline: where their logs are, and what they hold."""
