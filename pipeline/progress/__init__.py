"""Progress: how far a run is, and how long it has left."""
