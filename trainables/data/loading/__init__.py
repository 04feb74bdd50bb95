"""From a packed data set to the batches that a network sees."""
