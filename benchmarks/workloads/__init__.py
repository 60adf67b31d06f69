"""Inputs of the benchmarks: synthetic data, edits of real clips, and the methods that are compared."""
