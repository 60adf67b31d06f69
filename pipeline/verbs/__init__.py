"""The verbs of `clipmill` in this package: one file per verb, with its options and its function."""
