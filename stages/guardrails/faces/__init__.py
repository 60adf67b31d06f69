"""Faces through a video: tracks of boxes, and how their pixels are hidden."""
