"""Windows: a clip is captioned in spans of about 256 frames."""

from typing import NamedTuple


class Window(NamedTuple):
    """A span of a video's frames, from `start` to before `end`, and their times."""

    start_frame: int
    end_frame: int
    start_pts: int
    end_pts: int
    start_s: float
    end_s: float


def frames_of_windows(frames: int, long: int, least: int, fewest: int) -> list[tuple[int, int]]:
    """The windows of a clip of so many frames, as first frames and ends, without holes.

    Args:
        long: frames of a window; the last one may have up to `long + least - 1`.
        least: a remainder of fewer frames joins the window before it.
        fewest: a clip of fewer frames has no window.
    """
    if frames < fewest:
        return []
    whole, rest = divmod(frames, long)
    count = max(1, whole + (rest >= least))
    starts = [long * number for number in range(count)]
    return list(zip(starts, [*starts[1:], frames], strict=True))
