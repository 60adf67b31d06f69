"""Captions each clip as `CaptionClip` does, and offers the prompt what was measured about it."""

from collections.abc import Mapping, Sequence

from pipeline import Annotate
from stages.captions.caption_clip import FACTS, CaptionClip, Captioned, Shown


class MeasuredShown(Shown):
    camera: str
    light_mean: float
    object_motion: float


class CaptionWithFacts(CaptionClip, Annotate[MeasuredShown, Captioned]):
    """A prompt may have a place for {camera}, {light_mean} and {object_motion} too.

    It is a stage of its own since its captions are made anew when clips are measured in another way.
    """

    prompt: str = "with_camera"

    @property
    def known(self) -> Sequence[str]:
        return (*FACTS, "camera", "light_mean", "object_motion")

    def facts(self, row: MeasuredShown) -> Mapping[str, str]:  # type: ignore[override]
        return {
            **super().facts(row),
            "camera": row.camera,
            "light_mean": f"{row.light_mean:.2f}",
            "object_motion": f"{row.object_motion:.2f}",
        }
