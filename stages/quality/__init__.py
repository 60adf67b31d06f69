"""Measurements of each clip, from the signals that the scan stored: nothing decodes here, nothing decides."""
