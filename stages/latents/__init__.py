"""Clips to the latents that a diffusion model trains on, and latents to shards."""
