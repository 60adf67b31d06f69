"""Packets of a video: their times, whether data is missing, and their decoding in the order of the file."""
