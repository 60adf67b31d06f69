"""Trains models on curated clips, and samples videos from them."""
