"""Encoding: writes mp4 files from arrays, decoded frames or copied packets, with or without audio."""
