"""Multiplane images of a given frame, which a camera moves through."""
