"""The kinds of steps: one file per kind, which holds the functions that run its tasks."""
