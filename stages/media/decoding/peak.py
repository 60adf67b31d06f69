"""Reads the peak of the light of PQ videos from their static metadata (SMPTE ST 2086 and CTA-861.3)."""

from typing import TYPE_CHECKING

import numpy as np

from stages.media.decoding.color import MAX_CD_M2, PQ
from stages.media.decoding.container import main_video_stream, open_container
from stages.media.decoding.side_data import get_side_data

if TYPE_CHECKING:
    import av

MIN_PEAK, MAX_PEAK = 300.0, 4000.0  # cd/m2: limits for wrong metadata, which would dim or clip the scene
_MAX_LUMINANCE, _HAS_LUMINANCE = 9, 21  # place in FFmpeg's AVMasteringDisplayMetadata, in units of 4 bytes


class LightPeak:
    """The peak of a video, which is that of its first frame: only the start of a file may have metadata.

    Spans of a video and clips cut from it therefore have the same peak.
    """

    def __init__(self, uri: str) -> None:
        self._uri, self._peak = uri, 0.0

    def of_frame(self, raw: "av.VideoFrame") -> float:
        """Return the peak in cd/m2. Opens the file a second time at its first PQ frame."""
        if raw.color_trc != PQ:
            return MAX_CD_M2
        self._peak = self._peak or _first_peak(self._uri)
        return self._peak


def _first_peak(uri: str) -> float:
    import av

    container, file = open_container(uri)
    try:
        first = next(container.decode(main_video_stream(container)), None)
        return MAX_CD_M2 if first is None else peak_of(first)
    except av.error.FFmpegError:
        return MAX_CD_M2
    finally:
        container.close()
        if file is not None:
            file.close()


def peak_of(raw: "av.VideoFrame") -> float:
    """Return the peak of a frame in cd/m2, rounded, between `MIN_PEAK` and `MAX_PEAK`.

    The maximum content light level, but not above the peak of the mastering display; or the one of both that
    the frame has; or 1000.
    """
    peaks = []
    content = get_side_data(raw, "CONTENT_LIGHT_LEVEL")
    if content is not None:
        peaks.append(float(np.frombuffer(bytes(content), np.uint32)[0]))
    display = get_side_data(raw, "MASTERING_DISPLAY_METADATA")
    if display is not None:
        values = np.frombuffer(bytes(display), np.int32)
        numerator, denominator = values[2 * _MAX_LUMINANCE : 2 * _MAX_LUMINANCE + 2].tolist()
        if values[_HAS_LUMINANCE] and denominator > 0:
            peaks.append(numerator / denominator)
    peak = min((peak for peak in peaks if peak > 0), default=MAX_CD_M2)
    return float(min(max(round(peak), MIN_PEAK), MAX_PEAK))
