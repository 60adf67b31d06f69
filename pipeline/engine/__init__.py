"""The engine: which task is next, and how a worker does it."""
