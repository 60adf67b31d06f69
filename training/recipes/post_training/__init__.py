"""Recipes that change a trained model: merging, distillation and reward fine-tuning."""
