"""Rewards: what generated videos are scored by, for fine-tuning."""
