"""Trains a video tokenizer, and a video diffusion model on its latents, without Ray."""
