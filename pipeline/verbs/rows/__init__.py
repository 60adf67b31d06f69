"""The verbs about rows that a run has processed: explain, replay, show and table."""
