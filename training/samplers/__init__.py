"""Samplers: turn noise into latents, for any path and any denoiser."""
