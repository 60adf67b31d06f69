"""Recipes: complete trainings, sampling, evaluation and export, built from the other packages."""
