"""The measures of generated videos, by name."""
