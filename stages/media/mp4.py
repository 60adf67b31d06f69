"""Writing mp4: pictures with their times, and sound beside them, by an encoder that is named.

The bytes depend on pictures, settings and the build of the encoder only.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple, cast

from manifests import ClipmillError

if TYPE_CHECKING:
    import av

# bitexact keeps the muxer's version out of the file; faststart puts the index before the pixels.
OPTIONS = {"fflags": "+bitexact", "movflags": "+faststart"}

Sound = Callable[["av.container.OutputContainer"], Iterator[tuple[float, "av.Packet"]]]
"""Adds a stream to a container, and gives its packets with their times in seconds, in order."""


class Coding(NamedTuple):
    """Which encoder, and how it is set."""

    encoder: str = "libx264"
    options: Mapping[str, str] = MappingProxyType({})
    threads: int = 1


class Written(NamedTuple):
    """What a finished file holds, as its own packets say."""

    width_px: int
    height_px: int
    frames: int
    duration_s: Fraction
    codec: str
    audio: str  # the codec of its sound, or ""


def write_frames(
    path: Path | str,
    pictures: Iterable["av.VideoFrame"],
    rate: Fraction,
    time_base: Fraction,
    coding: Coding,
    *,
    pix_fmt: str = "",
    sound: Sound | None = None,
) -> int:
    """Encode pictures of one size, and return how many there were.

    Each has its pts in `time_base`, and its duration, or 0 for one of the rate.

    Args:
        rate: frames per second; where the times say otherwise, a hint for rate control.
        pix_fmt: what the encoder is given; empty: the format of the first picture.

    Raises:
        ClipmillError: this machine or this build of FFmpeg lacks the encoder.
        ValueError: there are no pictures.
    """
    import av

    written = 0
    with av.open(f"file:{path}", "w", format="mp4", options=OPTIONS) as container:
        stream: av.VideoStream | None = None
        packets: Iterator[tuple[float, av.Packet]] = iter(())
        for picture in pictures:
            if stream is None:
                stream = _video_stream(container, picture, rate, time_base, coding, pix_fmt)
                packets = sound(container) if sound else packets
                coming = next(packets, None)
            while coming is not None and coming[0] <= picture.pts * time_base:
                container.mux(coming[1])
                coming = next(packets, None)
            picture.pict_type, picture.time_base = (
                0,
                time_base,
            )  # key frames are the encoder's choice
            try:
                container.mux(stream.encode(picture))
            except av.error.FFmpegError as error:
                if written:
                    raise
                raise _lacking(coding.encoder, str(error.strerror)) from error
            written += 1
        if stream is None:
            raise ValueError("there are no frames to write")
        container.mux(stream.encode(None))
        while coming is not None:
            container.mux(coming[1])
            coming = next(packets, None)
    return written


def _video_stream(
    container: "av.container.OutputContainer",
    first: "av.VideoFrame",
    rate: Fraction,
    time_base: Fraction,
    coding: Coding,
    pix_fmt: str,
) -> "av.VideoStream":
    import av

    try:
        stream = cast(av.VideoStream, container.add_stream(coding.encoder, rate=rate))
    except (av.error.FFmpegError, ValueError) as error:
        raise _lacking(coding.encoder, "this build of FFmpeg lacks it") from error
    stream.pix_fmt, stream.time_base = pix_fmt or first.format.name, time_base
    stream.width, stream.height = first.width, first.height
    context = stream.codec_context
    context.time_base = time_base
    context.flags |= av.codec.context.Flags.bitexact | av.codec.context.Flags.frame_duration
    context.thread_count = coding.threads
    if first.format.name == stream.pix_fmt:  # what the colours mean goes along
        context.color_range, context.colorspace = first.color_range, first.colorspace
        context.color_primaries, context.color_trc = first.color_primaries, first.color_trc
    stream.options = dict(coding.options)
    return stream


def _lacking(encoder: str, why: str) -> ClipmillError:
    return ClipmillError(
        f"the encoder {encoder} does not open: {why}",
        where="this machine",
        remedy="name another encoder; NVENC wants a GPU that has one, which A100 and H100 have not",
    )


def look(path: Path | str) -> Written:
    """What a file holds, read from its packets; nothing is decoded.

    Raises:
        av.error.FFmpegError: it is no whole mp4.
    """
    import av

    with av.open(f"file:{path}", format="mp4") as container:
        stream = container.streams.video[0]
        base = Fraction(cast(Fraction, stream.time_base))
        frames, first, end = 0, 0, 0
        for packet in container.demux(stream):
            if packet.size and packet.pts is not None:
                first = packet.pts if not frames else min(first, packet.pts)
                end = max(end, packet.pts + (packet.duration or 0))
                frames += 1
        sounds = container.streams.audio
        audio = sounds[0].codec_context.codec.canonical_name if sounds else ""
        codec = stream.codec_context.codec.canonical_name
        return Written(stream.width, stream.height, frames, (end - first) * base, codec, audio)
