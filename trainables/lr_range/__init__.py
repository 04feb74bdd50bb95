"""The learning-rate range test: its ramp, and the rate that a curve suggests."""
