"""The tokenizers of NVIDIA Cosmos. Source: Agarwal et al. 2025, arXiv:2501.03575, section 4."""
