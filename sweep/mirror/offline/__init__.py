"""W&B runs that were recorded without a network: their log files, and their upload."""
