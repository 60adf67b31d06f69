"""Benchmarks: one file per question, each printing a table and writing JSON, both sides in one run."""
