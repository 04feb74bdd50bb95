"""Estimates of time and money: work from FLOPs, measured throughput, prices, ETA."""
