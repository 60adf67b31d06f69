"""The events of a run, as lines of JSON in its folder: their fields, and how they are written and read."""
