"""The history of a store: the recorded runs, the funnel of row counts, and the history of each row."""
