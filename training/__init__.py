"""Training: a video tokenizer and a diffusion model over its latents. Runs without Ray."""
