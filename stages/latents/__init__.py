"""Encodes clips into latents, and packs the latents into shards."""
