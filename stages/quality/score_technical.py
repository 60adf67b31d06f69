"""Scores how clean a clip's pictures are: which of two opposite descriptions is nearer to them."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from manifests import Row, column
from pipeline import Annotate, Needs, Reject
from stages.quality.seen import Clip, rounded, vectors_of

if TYPE_CHECKING:
    from stages.models.open_clip import Towers

OPPOSITES = (
    "a photo of good quality | a photo of bad quality",
    "a sharp photo | a blurry photo",
    "a clean photo | a noisy photo",
    "a crisp image | an image with compression artifacts",
)


class Technical(Row):
    technical_mean: float = column(
        "how surely the pictures are described by the better of two words, mean", unit="0..1"
    )
    technical_min: float = column("the same, of the still that scores lowest", unit="0..1")


class ScoreTechnical(Annotate[Clip, Technical]):
    """For each pair "better | worse", softmax over the two of the scaled cosines; the mean over the pairs.

    As CLIP-IQA (Wang et al. 2023, "Exploring CLIP for assessing the look and feel of images", Eq. 2), with
    the model's own positional embedding. No head is needed. Rejected: a clip in which no still lies.
    """

    needs = Needs(cpus=1, memory_gb=4, batch=8)

    towers: str
    pairs: tuple[str, ...] = OPPOSITES
    stills: int = 4

    @cached_property
    def loaded_towers(self) -> "Towers":
        from stages.models.open_clip import Towers

        return Towers(self.towers)

    @cached_property
    def loaded_pairs(self) -> np.ndarray:
        """Unit vectors of the better and the worse word of each pair, [pairs 2 d]."""
        words = [[word.strip() for word in pair.split("|")] for pair in self.pairs]
        vectors = self.loaded_towers.texts([word for pair in words for word in pair])
        return vectors.reshape(len(words), 2, -1)

    def __post_init__(self) -> None:
        wrong = [pair for pair in self.pairs if pair.count("|") != 1]
        if wrong or not self.pairs:
            raise ValueError(f"pairs are written 'better | worse', not {wrong[0] if wrong else 'nothing'!r}")

    def digest(self) -> str:
        from stages.models.open_clip import towers_digest

        return towers_digest(self.towers)

    def annotate(self, rows: Sequence[Clip]) -> Iterator[Technical | Reject]:
        for row in rows:
            try:
                vectors = vectors_of(row, self.loaded_towers, self.stills)
            except Reject as reject:
                yield reject
                continue
            near = np.einsum("nd,pkd->npk", vectors, self.loaded_pairs) * self.loaded_towers.scale
            better = (1 / (1 + np.exp(near[..., 1] - near[..., 0]))).mean(axis=1)  # [n]
            yield Technical(technical_mean=rounded(better.mean()), technical_min=rounded(better.min()))
