"""Errors that concern the duplicate search as a whole and not a single row."""

from manifests import ClipmillError


class CannotCompare(ClipmillError):
    """The embeddings, the stored pairs or the release do not allow a comparison."""
