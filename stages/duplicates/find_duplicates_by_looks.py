"""Find duplicates, and of clips as large and as sharp as each other keep the one that looks better."""

from pipeline import Compare
from stages.duplicates.find_duplicates import FindDuplicates, SearchedClip, Twinned


class RatedClip(SearchedClip):
    aesthetic_mean: float


class FindDuplicatesByLooks(FindDuplicates, Compare[RatedClip, Twinned]):
    """As `FindDuplicates`; before length decides, the mean that `ScoreAesthetics` gave."""
