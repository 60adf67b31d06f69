"""Trains an autoregressive world model on the codes of a discrete tokenizer."""
