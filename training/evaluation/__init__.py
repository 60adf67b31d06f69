"""Measures a model on held-out clips, during a training and after it."""
