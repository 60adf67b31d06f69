"""Displays the progress of a run, and estimates the remaining time."""
