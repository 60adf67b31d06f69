"""The recorded runs of a store, read from tables alone: their steps, and their rows with all columns."""
