"""Measures how well a caption fits its clip, with both towers of an open_clip model."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from manifests import PositiveInt, Row, column
from pipeline import Annotate, Needs, Reject
from stages.models.still_vectors import Clip, embed_stills, round_score

if TYPE_CHECKING:
    from stages.models.open_clip import OpenClipModel


class CaptionedStills(Clip):
    caption: str
    enhanced_caption: str | None = None


class CaptionSimilarity(Row):
    caption_similarity: float | None = column(
        "cosine similarity of the caption and the stills, mean over the stills and the parts of the caption; "
        "null if the caption is empty",
        unit="-1..1",
    )
    caption_similarity_min: float | None = column(
        "the same of the part of the caption that fits the clip least, mean over the stills", unit="-1..1"
    )
    caption_parts: int = column("parts of the caption that fit into the context length of the model")


class MeasureCaptionSimilarity(Annotate[CaptionedStills, CaptionSimilarity]):
    """Measures the cosine similarity between the stills of a clip and its caption with an open_clip model.

    The enhanced caption is measured, or the caption if there is none. CLIPScore (Hessel et al. 2021) of one
    image is 2.5 * max(cosine, 0); the columns hold the plain cosine. Text towers read a limited number of
    tokens, 77 in CLIP. A longer caption is not cut off: it is split at the ends of sentences into parts that
    fit, and the mean of their cosines is its similarity. A clip without a still is rejected.

    Attributes:
        model: An open_clip model: a folder, ARCHITECTURE:FILE, ARCHITECTURE:TAG or hf-hub:OWNER/NAME.
        max_stills: Stills of a clip that the model sees, at most. Higher values take longer.
    """

    needs = Needs(cpus=1, memory_gb=4, batch=8)

    model: str
    max_stills: PositiveInt = 8

    @cached_property
    def loaded_model(self) -> "OpenClipModel":
        from stages.models.open_clip import OpenClipModel

        return OpenClipModel(self.model)

    def digest(self) -> str:
        from stages.models.open_clip import open_clip_digest

        return open_clip_digest(self.model)

    def annotate(self, rows: Sequence[CaptionedStills]) -> Iterator[CaptionSimilarity | Reject]:
        for row in rows:
            try:
                yield self._measure(row)
            except Reject as reject:
                yield reject

    def _measure(self, row: CaptionedStills) -> CaptionSimilarity:
        stills = embed_stills(row, self.loaded_model, self.max_stills)
        parts = self.loaded_model.split_text(row.enhanced_caption or row.caption)
        if not parts:
            return CaptionSimilarity(caption_similarity=None, caption_similarity_min=None, caption_parts=0)
        # One text per call: the vector of a text must not depend on the number of texts beside it.
        cosines = [float((stills @ self.loaded_model.embed_texts([part])[0]).mean()) for part in parts]
        return CaptionSimilarity(
            caption_similarity=round_score(sum(cosines) / len(cosines)),
            caption_similarity_min=round_score(min(cosines)),
            caption_parts=len(parts),
        )
