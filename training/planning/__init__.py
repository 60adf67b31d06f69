"""Predicts the memory and the time of a training, and writes job scripts."""
