"""The pixel aspect of each frame, which may change within a stream."""

from fractions import Fraction
from typing import TYPE_CHECKING

from stages.media.decoding.limits import is_sample_aspect

if TYPE_CHECKING:
    import av


class SampleAspect:
    """Width of a pixel divided by its height, frame by frame.

    The aspect of the container, where it differs from the codec's in the header, holds for all frames.
    Otherwise the codec's holds. PyAV does not show it for a frame, but for the decoder, which reports a new
    one before it returns the first frame that has it. That frame is a key frame.
    """

    def __init__(self, stream: "av.VideoStream", of_crop: Fraction | None) -> None:
        self._context = stream.codec_context
        self._container = of_crop or _aspect(stream.sample_aspect_ratio)
        self._is_fixed = self._container != _aspect(self._context.sample_aspect_ratio)

    def of_frame(self, raw: "av.VideoFrame", previous: Fraction | None) -> Fraction:
        """Return the aspect of a frame; `previous` is that of the frame before it, None for the first."""
        if self._is_fixed:
            return self._container
        if previous is None or raw.key_frame:
            return _aspect(self._context.sample_aspect_ratio)
        return previous


def _aspect(value: Fraction | None) -> Fraction:
    return Fraction(value) if value and is_sample_aspect(value) else Fraction(1)
