"""Benchmark of post-training: merging, distillation and reward fine-tuning of small models."""
