"""Ingest: lists video files and reads their headers."""
