"""Finds duplicates, and of clips of equal size and sharpness keeps the one with the best aesthetic score."""

from pipeline import Compare
from stages.duplicates.find_duplicates import DuplicateDecision, FindDuplicates, SearchedClip


class RatedClip(SearchedClip):
    aesthetic_mean: float


class FindDuplicatesByAesthetics(FindDuplicates, Compare[RatedClip, DuplicateDecision]):
    """Decides which clips are duplicates, like `FindDuplicates`, but by `aesthetic_mean` before length."""
