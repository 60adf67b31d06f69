"""The HTML report of a run and the dataset card of its shards."""
