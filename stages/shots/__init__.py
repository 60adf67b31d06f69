"""Shots: where one ends and the next begins, found from the signals that the scan stored."""
