"""Reads and writes media files: decoding, encoding, timestamps, stills, per-frame signals and tar shards."""
