"""Codes of discrete tokenizers beside the latents of the same clips."""
