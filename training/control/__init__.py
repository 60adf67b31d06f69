"""Closed loops: planning in a model of the dynamics, and statistics of success."""
