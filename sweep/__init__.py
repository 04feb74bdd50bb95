"""What to run, and running it: grid, plan, schedule, Ray Tune, the command line."""
