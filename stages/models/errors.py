"""What is said where weights are missing or do not fit."""

from manifests import ClipmillError


class NoWeights(ClipmillError):
    """Weights that a stage was told to use cannot be found, read, or do not fit. Never a row's fault."""
