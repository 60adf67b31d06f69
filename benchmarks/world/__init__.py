"""Metrics of generated videos on rendered rooms whose cameras are known."""
