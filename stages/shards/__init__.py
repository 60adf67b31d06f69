"""Shards: kept clips are cut from their sources once and packed into WebDataset tars."""
