"""The groups of surveys and comparisons: their members and results in files, and groups of earlier tables."""
