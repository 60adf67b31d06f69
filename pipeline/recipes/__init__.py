"""Recipes: read from Python or YAML files, configured by knobs, and turned into a `Dag`."""
