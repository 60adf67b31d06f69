"""The report of a run: one HTML page that stands by itself."""
