"""Estimates of time and money: work from FLOPs, throughput that was measured, prices, ETA."""
