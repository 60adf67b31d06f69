"""Scores how pleasing a clip is to look at: a linear head on the image tower of an open_clip model."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from manifests import Row, column
from pipeline import Annotate, Needs, Reject
from stages.quality.seen import Clip, rounded, vectors_of

if TYPE_CHECKING:
    from stages.models.head import Head
    from stages.models.open_clip import Towers


class Aesthetics(Row):
    aesthetic_mean: float = column(
        "the head's score, mean over the stills; LAION's run from 1 to 10", unit="1"
    )
    aesthetic_min: float = column("the same, of the still that scores lowest", unit="1")


class ScoreAesthetics(Annotate[Clip, Aesthetics]):
    """Up to `stills` stills of the strip, each scored by itself.

    `towers` names an open_clip model as `stages/models/open_clip.py` says, and `head` a file of linear
    layers that was fitted to it. Rejected: a clip in which no still lies.
    """

    needs = Needs(cpus=1, memory_gb=4, batch=8)

    towers: str
    head: str
    stills: int = 4

    @cached_property
    def loaded_towers(self) -> "Towers":
        from stages.models.open_clip import Towers

        return Towers(self.towers)

    @cached_property
    def loaded_head(self) -> "Head":
        from stages.models.head import Head

        return Head(self.head)

    def digest(self) -> str:
        from stages.models.head import head_digest
        from stages.models.open_clip import towers_digest

        return towers_digest(self.towers) + head_digest(self.head)

    def annotate(self, rows: Sequence[Clip]) -> Iterator[Aesthetics | Reject]:
        for row in rows:
            try:
                scores = self.loaded_head(vectors_of(row, self.loaded_towers, self.stills))
            except Reject as reject:
                yield reject
            else:
                yield Aesthetics(aesthetic_mean=rounded(scores.mean()), aesthetic_min=rounded(scores.min()))
