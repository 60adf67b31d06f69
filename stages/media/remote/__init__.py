"""Reads files of HTTP servers and object stores as seekable files."""
