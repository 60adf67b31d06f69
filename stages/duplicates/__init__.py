"""Duplicates: a vector per clip that its copies share, and the search that keeps the best of each group."""
