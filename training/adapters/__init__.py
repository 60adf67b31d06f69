"""Weights of other projects: `pretrained` reads them, `diffusers_folder` and `released` write them."""
