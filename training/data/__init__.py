"""Reads shards of latents, in an order that depends only on a seed and the step."""
