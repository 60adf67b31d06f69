"""Limits for valid video files: values beyond them mean damage, and must not cost memory or create clips."""

from fractions import Fraction
from typing import TYPE_CHECKING

from stages.media.errors import UnreadableFile

if TYPE_CHECKING:
    import av

MAX_PIXELS = 1 << 26  # pixels of one frame: 8192 x 8192, twice the size of 8K cinema
MAX_PIXEL_ASPECT = 16  # width of a pixel divided by its height, or the inverse; anamorphic lenses have 2
MAX_DURATION_S = 400 * 3600  # seconds, by the header; a longer header duration is not trusted


def check_frame_size(stream: "av.VideoStream") -> None:
    """Check the frame size and the pixel aspect ratio in the header of a stream.

    Raises:
        UnreadableFile: The stream has no size or time base, or a value beyond the limits.
    """
    width, height, aspect = stream.width, stream.height, stream.sample_aspect_ratio
    if not stream.time_base or width < 1 or height < 1:
        raise UnreadableFile("damaged: the video stream has no size or no time base")
    if width * height > MAX_PIXELS:
        raise UnreadableFile(
            f"its frames are too large: {width} x {height} px; the limit is {MAX_PIXELS} pixels"
        )
    if aspect and aspect > 0 and not is_sample_aspect(aspect):
        raise UnreadableFile(
            f"damaged: the header says that a pixel is {float(aspect):.3g} times as wide as high"
        )


def is_sample_aspect(aspect: Fraction) -> bool:
    """Return whether a pixel aspect ratio is within the limits."""
    return Fraction(1, MAX_PIXEL_ASPECT) <= aspect <= MAX_PIXEL_ASPECT
