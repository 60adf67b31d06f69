"""Writes mp4 files: video frames with their times, and audio, by a named encoder.

The bytes depend only on the frames, the settings and the build of the encoder.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple, cast

from manifests import ClipmillError
from stages.media.decoding.color import transfer_name

if TYPE_CHECKING:
    import av
    from av import AudioStream

    AudioPacket = av.Packet[AudioStream]

# bitexact omits the muxer version from the file; faststart writes the index before the frames.
MUXER_OPTIONS = {"fflags": "+bitexact", "movflags": "+faststart"}

AudioWriter = Callable[["av.container.OutputContainer"], Iterator[tuple[float, "AudioPacket"]]]
"""Adds an audio stream to a container, and yields its packets with their times in seconds, in order."""


class EncoderSettings(NamedTuple):
    """An encoder of FFmpeg with its options.

    Attributes:
        encoder: Name of the encoder in FFmpeg.
        options: Options of the encoder.
        threads: Number of encoder threads.
        pix_fmt: Pixel format of the encoder input; "": the format of the first frame.
        codec_tag: Code of the codec in the file; "": the muxer's choice.
    """

    encoder: str = "libx264"
    options: Mapping[str, str] = MappingProxyType({})
    threads: int = 1
    pix_fmt: str = ""
    codec_tag: str = ""


class Mp4Info(NamedTuple):
    """The content of an mp4 file, read from its packets.

    Attributes:
        width_px: Width in pixels.
        height_px: Height in pixels.
        frames: Number of frames.
        duration_s: Duration in seconds.
        codec: Name of the video codec.
        bit_depth: Bits per sample.
        color_transfer: Transfer function, by its name in ffprobe.
        audio: Name of the audio codec, or "".
    """

    width_px: int
    height_px: int
    frames: int
    duration_s: Fraction
    codec: str
    bit_depth: int
    color_transfer: str
    audio: str


def write_frames(
    path: Path | str,
    frames: Iterable["av.VideoFrame"],
    rate: Fraction,
    time_base: Fraction,
    settings: EncoderSettings,
    *,
    pix_fmt: str = "",
    audio: AudioWriter | None = None,
) -> int:
    """Encode frames of one size and return their number.

    Each frame has its pts in `time_base`, and its duration, or 0 for the duration that the rate implies.

    Args:
        path: Path of the mp4 file.
        frames: The frames.
        rate: Frames per second. If the times differ from it, it is a hint for rate control.
        time_base: Length of one tick in seconds.
        settings: The encoder and its options.
        pix_fmt: Pixel format of the encoder input. Default: the format of the first frame.
        audio: Writer of an audio stream.

    Raises:
        ClipmillError: This machine or this build of FFmpeg does not have the encoder.
        ValueError: There are no frames.
    """
    import av

    written = 0
    with av.open(f"file:{path}", "w", format="mp4", options=MUXER_OPTIONS) as container:
        stream: av.VideoStream | None = None
        packets: Iterator[tuple[float, av.Packet[av.AudioStream]]] = iter(())
        for frame in frames:
            if stream is None:
                stream = _video_stream(container, frame, rate, time_base, settings, pix_fmt)
                packets = audio(container) if audio else packets
                next_packet = next(packets, None)
            while next_packet is not None and next_packet[0] <= cast(int, frame.pts) * time_base:
                container.mux(next_packet[1])
                next_packet = next(packets, None)
            frame.pict_type, frame.time_base = 0, time_base  # key frames are the encoder's choice
            try:
                container.mux(stream.encode(frame))
            except av.error.FFmpegError as error:
                if written:
                    raise
                raise _unavailable(settings.encoder, str(error.strerror)) from error
            written += 1
        if stream is None:
            raise ValueError("there are no frames to write")
        container.mux(_last_packets(stream, written))
        while next_packet is not None:
            container.mux(next_packet[1])
            next_packet = next(packets, None)
    return written


def _last_packets(stream: "av.VideoStream", frames: int) -> "list[av.Packet[av.VideoStream]]":
    """Return the packets that the encoder still holds. x265 leaves the dts of 1 or 2 frames undefined."""
    packets = stream.encode(None)
    if frames < 3 and stream.codec_context.codec.name == "libx265":
        for packet in packets:
            packet.dts = packet.pts
    return packets


def _video_stream(
    container: "av.container.OutputContainer",
    first: "av.VideoFrame",
    rate: Fraction,
    time_base: Fraction,
    settings: EncoderSettings,
    pix_fmt: str,
) -> "av.VideoStream":
    import av

    try:
        stream = cast(av.VideoStream, container.add_stream(settings.encoder, rate=rate))
    except (av.error.FFmpegError, ValueError) as error:
        raise _unavailable(settings.encoder, "this build of FFmpeg does not have it") from error
    stream.pix_fmt, stream.time_base = pix_fmt or settings.pix_fmt or first.format.name, time_base
    stream.width, stream.height = first.width, first.height
    context = stream.codec_context
    context.time_base = time_base
    context.flags |= av.codec.context.Flags.bitexact | av.codec.context.Flags.frame_duration
    context.thread_count = settings.threads
    if first.format.name == stream.pix_fmt or settings.pix_fmt:  # copy the meaning of the colors
        context.color_range, context.colorspace = first.color_range, first.colorspace
        context.color_primaries, context.color_trc = first.color_primaries, first.color_trc
    stream.options = dict(settings.options)
    if settings.codec_tag:
        context.codec_tag = settings.codec_tag
    return stream


def _unavailable(encoder: str, reason: str) -> ClipmillError:
    return ClipmillError(
        f"the encoder {encoder} cannot be opened: {reason}",
        where="this machine",
        remedy="choose another encoder; NVENC needs a GPU with NVENC, which A100 and H100 do not have",
    )


def read_mp4_info(path: Path | str) -> Mp4Info:
    """Return the content of an mp4 file, read from its packets without decoding.

    Raises:
        av.error.FFmpegError: The file is not a complete mp4.
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
        audio_streams = container.streams.audio
        audio = audio_streams[0].codec_context.codec.canonical_name if audio_streams else ""
        context = stream.codec_context
        return Mp4Info(
            width_px=stream.width,
            height_px=stream.height,
            frames=frames,
            duration_s=(end - first) * base,
            codec=context.codec.canonical_name,
            bit_depth=context.format.components[0].bits if context.format else 0,
            color_transfer=transfer_name(context.color_trc),
            audio=audio,
        )
