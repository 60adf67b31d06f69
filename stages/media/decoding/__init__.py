"""Decoding: opens video files and returns frames with exact times and upright pixels."""
