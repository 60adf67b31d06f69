"""Samples of shards: their members, of one camera or of several."""
