"""What can be wrong with a search for duplicates as a whole, which is no row's fault."""

from manifests import ClipmillError


class CannotCompare(ClipmillError):
    """Vectors that mean different things, or that are none, cannot be compared."""
