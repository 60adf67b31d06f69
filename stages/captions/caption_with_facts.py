"""Captions each clip as `CaptionClip` does, with measured facts in the prompt."""

from collections.abc import Mapping, Sequence

from pipeline import Annotate
from stages.captions.caption_clip import Caption, CaptionClip, ScannedClip
from stages.captions.requests.window_request import FACTS


class MeasuredScannedClip(ScannedClip):
    camera: str
    light_mean: float
    object_motion: float


class CaptionWithFacts(CaptionClip, Annotate[MeasuredScannedClip, Caption]):
    """Captions each clip; the prompt may also have placeholders {camera}, {light_mean} and {object_motion}.

    It is a separate stage because its captions depend on these measurements: other measurements need new
    captions. All other settings are those of `CaptionClip`.

    Attributes:
        prompt: Name of a prompt in stages/captions/prompts, or a file.
    """

    prompt: str = "with_camera"

    @property
    def fact_names(self) -> Sequence[str]:
        return (*FACTS, "camera", "light_mean", "object_motion")

    def facts(self, row: MeasuredScannedClip) -> Mapping[str, str]:  # type: ignore[override]
        return {
            **super().facts(row),
            "camera": row.camera,
            "light_mean": f"{row.light_mean:.2f}",
            "object_motion": f"{row.object_motion:.2f}",
        }
