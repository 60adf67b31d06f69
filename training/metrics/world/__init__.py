"""Metrics of generated videos against the cameras, the motion and the objects of a reference."""
