"""Commands that start the driver of a run on a cluster, and the module that the cluster starts."""
