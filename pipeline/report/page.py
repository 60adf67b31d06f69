"""Puts the report of a run together, and into the store."""

from pipeline.history.past import RUNS, Past


def write_report(past: Past) -> str:
    """Write runs/<run>/report.html and say where it is."""
    name = f"{RUNS}/{past.run}/report.html"
    past.store.replace(name, b"")
    return f"{past.store.url}/{name}"
