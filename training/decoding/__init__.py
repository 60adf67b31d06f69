"""Decoding of token models: the choice of a token, plain and speculative decoding, and rollout."""
