"""The diffusion process: noise paths, preconditioning, loss weights, timesteps and what a denoiser is."""
