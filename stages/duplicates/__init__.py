"""Duplicate clips: an embedding per clip, a search for similar pairs, and the choice of the clip to keep."""
