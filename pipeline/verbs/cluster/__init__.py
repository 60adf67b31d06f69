"""Commands that start the driver of a run on a cluster, and what travels with it."""
