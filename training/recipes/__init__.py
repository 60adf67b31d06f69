"""Recipes: functions whose keyword arguments are the knobs of a training."""
