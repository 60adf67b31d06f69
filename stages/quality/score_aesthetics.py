"""Scores how pleasing a clip looks: a linear head on the image vectors of an open_clip model."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from manifests import PositiveInt, Row, column
from pipeline import Annotate, Needs, Reject
from stages.models.still_vectors import Clip, embed_stills, round_score

if TYPE_CHECKING:
    from stages.models.head import Head
    from stages.models.open_clip import OpenClipModel


class Aesthetics(Row):
    aesthetic_mean: float = column(
        "score of the head, mean over the stills; LAION's heads give 1 to 10", unit="1"
    )
    aesthetic_min: float = column("score of the head, minimum over the stills", unit="1")


class ScoreAesthetics(Annotate[Clip, Aesthetics]):
    """Scores the aesthetics of the stills with an open_clip model and a head such as LAION's.

    A clip without a still is rejected.

    Attributes:
        model: An open_clip model: a folder, ARCHITECTURE:FILE, ARCHITECTURE:TAG or hf-hub:OWNER/NAME.
        head: A file of linear layers that was trained for this model, such as LAION's.
        max_stills: Stills of a clip that are scored, at most. Higher values take longer.
    """

    version = 2
    needs = Needs(cpus=1, memory_gb=4, batch=8)

    model: str
    head: str
    max_stills: PositiveInt = 4

    @cached_property
    def loaded_model(self) -> "OpenClipModel":
        from stages.models.open_clip import OpenClipModel

        return OpenClipModel(self.model)

    @cached_property
    def loaded_head(self) -> "Head":
        from stages.models.head import Head

        return Head(self.head)

    def digest(self) -> str:
        from stages.models.head import head_digest
        from stages.models.open_clip import open_clip_digest

        return open_clip_digest(self.model) + head_digest(self.head)

    def annotate(self, rows: Sequence[Clip]) -> Iterator[Aesthetics | Reject]:
        for row in rows:
            try:
                scores = self.loaded_head(embed_stills(row, self.loaded_model, self.max_stills))
            except Reject as reject:
                yield reject
            else:
                yield Aesthetics(
                    aesthetic_mean=round_score(scores.mean()), aesthetic_min=round_score(scores.min())
                )
