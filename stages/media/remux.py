"""Copying the packets of a span, as they are: only where a closed group of pictures begins with it."""

from fractions import Fraction
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from stages.media.container import open_container, shown_stream
from stages.media.decode import open_video
from stages.media.errors import Unreadable
from stages.media.mp4 import OPTIONS, Sound
from stages.media.planes import planar

if TYPE_CHECKING:
    import av

_MARGINS_S = (0, 10)
_IN_MP4 = {"h264", "hevc", "av1", "vp9"}


def copy_span(uri: str, path: Path, start_pts: int, end_pts: int, sound: Sound | None = None) -> bool:
    """Copy the frames with start_pts <= pts < end_pts into an mp4; False where they cannot be had so.

    They can where the file stores them one after the other, a key frame first, with nothing in between that
    is shown before or after the span: then no picture leans on one that is left behind. That is looked
    at: the copy and the span are decoded, and are to be the same pictures at the same times.
    """
    import av

    container, file = open_container(uri)
    try:
        source = shown_stream(container)
        if source.codec_context.codec.canonical_name not in _IN_MP4:
            return False
        found = next(
            filter(None, (_packets(container, source, start_pts, end_pts, m) for m in _MARGINS_S)), []
        )
        if not found:
            return False
        with av.open(f"file:{path}", "w", format="mp4", options=OPTIONS) as out:
            _mux(out, source, found, start_pts, sound)
    except av.error.FFmpegError:  # neither searched nor muxed as it is: it can still be encoded
        return False
    finally:
        container.close()
        if file is not None:
            file.close()
    try:
        return _same(uri, path, start_pts, end_pts)
    except Unreadable:  # the copy does not decode; if it is the span that does not, encoding it will say so
        return False


def _packets(
    container: "av.container.InputContainer",
    source: "av.VideoStream",
    start_pts: int,
    end_pts: int,
    margin_s: int,
) -> list["av.Packet"]:
    """The packets of the span in the order of decoding; none where others stand among them.

    Args:
        margin_s: how far before the span to begin, for containers that are not searched exactly.
    """
    base = Fraction(cast(Fraction, source.time_base))
    container.seek(start_pts - round(margin_s / base), stream=source)
    found: list[av.Packet] = []
    for packet in container.demux(source):
        if not packet.size:
            continue
        if packet.pts is None or packet.is_corrupt:
            return []
        if found and packet.pts >= end_pts:
            return found
        if found or packet.pts == start_pts:
            if packet.pts < start_pts or not (found or packet.is_keyframe):
                return []
            found.append(packet)
        elif packet.pts > end_pts:
            return []
    return found


def _mux(
    out: "av.container.OutputContainer",
    source: "av.VideoStream",
    packets: list["av.Packet"],
    start_pts: int,
    sound: Sound | None,
) -> None:
    stream = out.add_stream_from_template(source, opaque=True)  # whichever decoder is in use
    heard = sound(out) if sound else iter(())
    base = Fraction(cast(Fraction, source.time_base))
    coming = next(heard, None)
    shown = [cast(int, packet.pts) - start_pts for packet in packets]
    late = max(first - pts for first, pts in zip(sorted(shown), shown, strict=True))
    for packet, pts, due in zip(packets, shown, sorted(shown), strict=True):
        packet.pts, packet.dts = pts, due - late  # some containers do not say when to decode
        while coming is not None and coming[0] <= packet.dts * base:
            out.mux(coming[1])
            coming = next(heard, None)
        packet.stream = stream
        out.mux(packet)
    while coming is not None:
        out.mux(coming[1])
        coming = next(heard, None)


def _same(uri: str, path: Path, start_pts: int, end_pts: int) -> bool:
    """Whether a copy shows what the span shows, picture for picture, at the same distances in time."""
    with open_video(uri) as video, open_video(str(path)) as copy:
        wide, high = video.coded_width_px, video.coded_height_px
        for one, two in zip_longest(video.frames(start_pts, end_pts), copy.frames()):
            if one is None or two is None:
                return False
            apart = (one.pts - start_pts) * video.time_base - two.pts * copy.time_base
            if abs(apart) > copy.time_base:
                return False
            if not np.array_equal(_bytes(planar(one, wide, high)), _bytes(planar(two, wide, high))):
                return False
    return True


def _bytes(picture: "av.VideoFrame") -> np.ndarray:
    """The samples of all planes, one after the other."""
    planes = [
        np.ndarray((plane.height, plane.width), np.uint8, plane, strides=(plane.line_size, 1))
        for plane in picture.planes
    ]
    return np.concatenate([plane.ravel() for plane in planes])
