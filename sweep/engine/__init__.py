"""Execute a plan on Ray: the driver, Ray Tune, Ray's session, cluster capacity, signals, the study's lock."""
