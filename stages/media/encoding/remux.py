"""Copies the packets of a span without encoding, if the span starts with a closed group of pictures."""

from collections.abc import Iterator
from fractions import Fraction
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import numpy.typing as npt

from stages.media.decoding.container import main_video_stream, open_container
from stages.media.decoding.planes import to_yuv420p
from stages.media.decoding.video import open_video
from stages.media.encoding.mp4 import MUXER_OPTIONS, AudioWriter
from stages.media.errors import UnreadableFile

if TYPE_CHECKING:
    import av
    from av import VideoStream

    from stages.media.encoding.mp4 import AudioPacket

    VideoPacket = av.Packet[VideoStream]

_MARGINS_S = (0, 10)
_IN_MP4 = {"h264", "hevc", "av1", "vp9"}


def copy_span(uri: str, path: Path, start_pts: int, end_pts: int, audio: AudioWriter | None = None) -> bool:
    """Copy the frames with start_pts <= pts < end_pts into an mp4; return False if it is impossible.

    A copy is possible if the file stores these frames consecutively, a key frame first, without other frames
    between them. Then no frame depends on a frame outside the span. The result is verified: the copy and the
    span are decoded and must have the same frames at the same times.

    Args:
        uri: Path or URL of the video.
        path: Path of the mp4 file to write.
        start_pts: First tick of the span.
        end_pts: First tick after the span.
        audio: Writer of an audio stream.
    """
    import av

    container, file = open_container(uri)
    try:
        source = main_video_stream(container)
        if source.codec_context.codec.canonical_name not in _IN_MP4:
            return False
        packets = next(
            filter(None, (_packets(container, source, start_pts, end_pts, m) for m in _MARGINS_S)), []
        )
        if not packets:
            return False
        with av.open(f"file:{path}", "w", format="mp4", options=MUXER_OPTIONS) as out:
            _mux(out, source, packets, start_pts, audio)
    except av.error.FFmpegError:  # cannot be searched or muxed; the caller can still encode it
        return False
    finally:
        container.close()
        if file is not None:
            file.close()
    try:
        return _is_same(uri, path, start_pts, end_pts)
    except UnreadableFile:  # the copy does not decode; if the span does not decode, encoding will report it
        return False


def _packets(
    container: "av.container.InputContainer",
    source: "av.VideoStream",
    start_pts: int,
    end_pts: int,
    margin_s: int,
) -> list["VideoPacket"]:
    """Return the packets of the span in decoding order, or an empty list if other packets are between them.

    Args:
        container: The open container.
        source: Its video stream.
        start_pts: First tick of the span.
        end_pts: First tick after the span.
        margin_s: Seconds before the span at which to begin, for containers without exact search.
    """
    base = Fraction(cast(Fraction, source.time_base))
    container.seek(start_pts - round(margin_s / base), stream=source)
    packets: list[VideoPacket] = []
    for packet in container.demux(source):
        if not packet.size:
            continue
        if packet.pts is None or packet.is_corrupt:
            return []
        if packets and packet.pts >= end_pts:
            return packets
        if packets or packet.pts == start_pts:
            if packet.pts < start_pts or not (packets or packet.is_keyframe):
                return []
            packets.append(packet)
        elif packet.pts > end_pts:
            return []
    return packets


def _mux(
    out: "av.container.OutputContainer",
    source: "av.VideoStream",
    packets: list["VideoPacket"],
    start_pts: int,
    audio: AudioWriter | None,
) -> None:
    stream = out.add_stream_from_template(source, opaque=True)  # independent of the decoder in use
    audio_packets: Iterator[tuple[float, AudioPacket]] = audio(out) if audio else iter(())
    base = Fraction(cast(Fraction, source.time_base))
    next_packet = next(audio_packets, None)
    presentation = [cast(int, packet.pts) - start_pts for packet in packets]
    delay = max(first - pts for first, pts in zip(sorted(presentation), presentation, strict=True))
    for packet, pts, decode_time in zip(packets, presentation, sorted(presentation), strict=True):
        packet.pts, packet.dts = pts, decode_time - delay  # some containers have no decode times
        while next_packet is not None and next_packet[0] <= packet.dts * base:
            out.mux(next_packet[1])
            next_packet = next(audio_packets, None)
        packet.stream = stream
        out.mux(packet)
    while next_packet is not None:
        out.mux(next_packet[1])
        next_packet = next(audio_packets, None)


def _is_same(uri: str, path: Path, start_pts: int, end_pts: int) -> bool:
    """Return whether a copy has the same frames as the span, with the same distances in time."""
    with open_video(uri) as video, open_video(str(path)) as copy:
        width, height = video.coded_width_px, video.coded_height_px
        for one, two in zip_longest(video.frames(start_pts, end_pts), copy.frames()):
            if one is None or two is None:
                return False
            offset = (one.pts - start_pts) * video.time_base - two.pts * copy.time_base
            if abs(offset) > copy.time_base or one.picture_format != two.picture_format:
                return False
            if not np.array_equal(
                _samples(to_yuv420p(one, width, height, True)), _samples(to_yuv420p(two, width, height, True))
            ):
                return False
    return True


def _samples(frame: "av.VideoFrame") -> npt.NDArray[np.uint8]:
    """Return the samples of all planes, one after the other."""
    bytes_per_sample = 2 if frame.format.components[0].bits > 8 else 1
    planes = [
        np.ndarray(
            (plane.height, plane.width * bytes_per_sample),
            np.uint8,
            memoryview(plane),
            strides=(plane.line_size, 1),
        )
        for plane in frame.planes
    ]
    return np.concatenate([plane.ravel() for plane in planes])
