"""Shots: finds where one shot ends and the next begins, from the signals that the scan stored."""
