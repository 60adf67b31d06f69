"""Metrics that compare images with their reference."""
