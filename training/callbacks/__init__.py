"""Watchers: a line per step on the screen, a curve in a file."""
