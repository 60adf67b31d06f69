"""Runs that are killed, and what they need."""
