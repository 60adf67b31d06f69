"""Pretrained networks that several stages use, and the files that hold their weights."""
