"""Layers of networks that denoise the views of several cameras together."""
