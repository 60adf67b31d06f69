"""Pretrained networks that several stages use, and where their weights come from."""
