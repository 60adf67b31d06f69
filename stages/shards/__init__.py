"""Shards: kept clips are cut from their sources here, once, and packed into WebDataset tars."""
