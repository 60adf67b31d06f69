"""Recipes: what a user asks for, read from Python or YAML, and turned into a `Dag`."""
