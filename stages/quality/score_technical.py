"""Scores the technical quality of a clip: which of two opposite descriptions is closer to its stills."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from manifests import PositiveInt, Row, column
from pipeline import Annotate, Needs, Reject
from stages.models.still_vectors import Clip, embed_stills, round_score

if TYPE_CHECKING:
    from stages.models.open_clip import OpenClipModel

DEFAULT_PAIRS = (
    "a photo of good quality | a photo of bad quality",
    "a sharp photo | a blurry photo",
    "a clean photo | a noisy photo",
    "a crisp image | an image with compression artifacts",
)


class Technical(Row):
    technical_mean: float = column(
        "probability of the better description, mean over pairs and stills", unit="0..1"
    )
    technical_min: float = column(
        "probability of the better description, mean over pairs, minimum over the stills", unit="0..1"
    )


class ScoreTechnical(Annotate[Clip, Technical]):
    """Scores the technical quality of the stills with an open_clip model and opposite descriptions.

    For each pair "better | worse", the score is the softmax of the two scaled cosines; then the mean over
    pairs. This is CLIP-IQA (Wang et al. 2023, "Exploring CLIP for assessing the look and feel of images", Eq.
    2), with the model's own positional embedding. It needs no head. A clip without a still is rejected.

    Attributes:
        model: An open_clip model: a folder, ARCHITECTURE:FILE, ARCHITECTURE:TAG or hf-hub:OWNER/NAME.
        prompt_pairs: Pairs of opposite descriptions, each written as "better | worse".
        max_stills: Stills of a clip that are scored, at most. Higher values take longer.
    """

    version = 2
    needs = Needs(cpus=1, memory_gb=4, batch=8)

    model: str
    prompt_pairs: tuple[str, ...] = DEFAULT_PAIRS
    max_stills: PositiveInt = 4

    @cached_property
    def loaded_model(self) -> "OpenClipModel":
        from stages.models.open_clip import OpenClipModel

        return OpenClipModel(self.model)

    @cached_property
    def pair_vectors(self) -> npt.NDArray[np.float32]:
        """Unit vectors of the better and the worse description of each pair, [pairs 2 d]."""
        pairs = [[text.strip() for text in pair.split("|")] for pair in self.prompt_pairs]
        vectors = self.loaded_model.embed_texts([text for pair in pairs for text in pair])
        return vectors.reshape(len(pairs), 2, -1)

    def __post_init__(self) -> None:
        wrong = [pair for pair in self.prompt_pairs if pair.count("|") != 1]
        if wrong or not self.prompt_pairs:
            raise ValueError(
                f"write each of prompt_pairs as 'better | worse', not {wrong[0] if wrong else 'nothing'!r}"
            )

    def digest(self) -> str:
        from stages.models.open_clip import open_clip_digest

        return open_clip_digest(self.model)

    def annotate(self, rows: Sequence[Clip]) -> Iterator[Technical | Reject]:
        for row in rows:
            try:
                vectors = embed_stills(row, self.loaded_model, self.max_stills)
            except Reject as reject:
                yield reject
                continue
            logits = np.einsum("nd,pkd->npk", vectors, self.pair_vectors) * self.loaded_model.logit_scale
            better = (1 / (1 + np.exp(logits[..., 1] - logits[..., 0]))).mean(axis=1)  # [n]
            yield Technical(
                technical_mean=round_score(better.mean()), technical_min=round_score(better.min())
            )
