"""The verbs of `clipmill` that belong to this package: one file each, with its options and its deed."""
