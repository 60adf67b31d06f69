"""Batches of rows: how many rows a stage gets in one call, and what follows if the call fails."""
