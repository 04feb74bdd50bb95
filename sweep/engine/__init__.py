"""Execute a plan on Ray: the driver, the Ray Tune backend, the Ray session, capacity and limits, signals, the study lock."""
