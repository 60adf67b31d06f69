"""Bounds that no sound video leaves: what is beyond is damage, which shall cost no memory, nor make clips."""

from fractions import Fraction
from typing import TYPE_CHECKING

from stages.media.errors import Unreadable
from stages.media.timecode import clock, seconds_of

if TYPE_CHECKING:
    import av

MOST_PX = 1 << 26  # of one picture: 8192 x 8192, which is twice the 8K of cinema
WIDEST_PIXEL = 16  # a pixel's width over its height, or the other way round; anamorphic lenses make it 2
LONGEST_STEP_S = 3600  # from one frame to the next
LONGEST_S = 400 * 3600  # of a film, by its header; a longer one may be there, but is not believed beforehand


def check_size(stream: "av.VideoStream") -> None:
    """Look at what the header says of the picture.

    Raises:
        Unreadable: it has no size, or one beyond the bounds.
    """
    width, height, aspect = stream.width, stream.height, stream.sample_aspect_ratio
    if not stream.time_base or width < 1 or height < 1:
        raise Unreadable("damaged: the video stream has no size or no time base")
    if width * height > MOST_PX:
        raise Unreadable(f"its pictures are too large: {width} x {height} px, of at most {MOST_PX} in all")
    if aspect and aspect > 0 and not Fraction(1, WIDEST_PIXEL) <= aspect <= WIDEST_PIXEL:
        raise Unreadable(f"damaged: by its header a pixel is {float(aspect):.3g} times as wide as high")


def most_ticks(time_base: Fraction) -> int:
    """Ticks of the longest step from one frame to the next."""
    return int(LONGEST_STEP_S / time_base)


def step_too_long(last: int, to: int, time_base: Fraction) -> Unreadable:
    """What to raise of a step from the time `last` to the time `to`, in ticks."""
    a, b = (clock(seconds_of(ticks, time_base)) for ticks in (last, to))
    return Unreadable(f"damaged times: a frame at {a} is followed by nothing before {b}")
