"""Statistics over verified results: class averages, bootstrap, paired tests, findings."""
