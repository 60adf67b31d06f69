"""Per-frame conditions of videos, such as camera poses and actions: their files, and those of each window."""
