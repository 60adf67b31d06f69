"""Metrics of pictures against the pictures they should be."""
