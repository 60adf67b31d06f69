"""Writes the audio of a span of a video: cut to the sample and encoded, or copied packet by packet."""

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import TYPE_CHECKING, cast

import numpy as np
import numpy.typing as npt

from stages.media.decoding.container import open_container, raise_machine_error
from stages.media.encoding.mp4 import AudioWriter
from stages.media.errors import UnreadableFile

if TYPE_CHECKING:
    import av

    from stages.media.encoding.mp4 import AudioPacket

AUDIO_ENCODERS = {"aac": "aac", "opus": "libopus"}
_OPUS_HZ = 48000
_RATES_HZ = (
    8000,
    11025,
    12000,
    16000,
    22050,
    24000,
    32000,
    44100,
    48000,
    64000,
    88200,
    96000,
)  # sample rates of AAC
_MAX_RATE_HZ = 768_000  # a higher rate means damage
_LEAD_IN_S = 1  # decoded before the span, because audio packets can depend on earlier ones
_MAX_ROUNDING_S = Fraction(1, 100)  # larger differences between times are gaps in the audio
_IN_MP4 = {"aac", "mp3", "opus", "ac3", "eac3", "alac", "flac"}


@contextmanager
def open_audio(
    uri: str, start_s: Fraction, end_s: Fraction, codec: str, bits_per_s: int
) -> Iterator[AudioWriter | None]:
    """Open the audio of a span for `write_frames`; None if the file has no audio.

    Args:
        uri: Path or URL of the file.
        start_s: Start of the span in seconds, in the time of the container, like the times of the frames.
        end_s: End of the span in seconds.
        codec: "aac" or "opus": decode, cut to the sample, fill gaps with silence, and encode at the sample
            rate of the source if the encoder supports it; mono, or mixed down to stereo. "copy": copy the
            packets that begin inside the span, each at its time.
        bits_per_s: Bit rate of the encoder.

    Raises:
        UnreadableFile: The audio cannot be decoded, or cannot be copied into an mp4.
    """
    container, file = open_container(uri)
    try:
        if not container.streams.audio:
            yield None
        elif codec == "copy":
            yield _copy_packets(container, start_s, end_s)
        else:
            yield _encode(*_samples(container, start_s, end_s), AUDIO_ENCODERS[codec], bits_per_s)
    finally:
        container.close()
        if file is not None:
            file.close()


def _copy_packets(
    container: "av.container.InputContainer", start_s: Fraction, end_s: Fraction
) -> AudioWriter:
    source = container.streams.audio[0]
    base = Fraction(cast(Fraction, source.time_base))
    name = source.codec_context.codec.canonical_name
    if name not in _IN_MP4:
        raise UnreadableFile(
            f"its audio codec is {name}, which mp4 does not support; encode the audio as aac or opus"
        )

    def write(out: "av.container.OutputContainer") -> Iterator[tuple[float, "AudioPacket"]]:
        stream, shift = out.add_stream_from_template(source, opaque=True), round(start_s / base)
        _seek(container, start_s)
        for packet in _demuxed(container):
            if packet.pts is None or not packet.size or packet.pts * base < start_s:
                continue
            if packet.pts * base >= end_s:
                return
            packet.pts = packet.dts = packet.pts - shift
            packet.stream = stream
            yield float(packet.pts * base), packet

    return write


def _samples(
    container: "av.container.InputContainer", start_s: Fraction, end_s: Fraction
) -> tuple[npt.NDArray[np.float32], int]:
    """Return the audio of the span, float32 [channels samples], and its sample rate in Hz."""
    import av

    stream = container.streams.audio[0]
    if stream.codec_context is None or not 0 < (stream.rate or 0) <= _MAX_RATE_HZ:
        raise UnreadableFile("its audio cannot be decoded: no decoder, or an invalid sample rate")
    hz, layout = stream.rate, "mono" if stream.codec_context.channels == 1 else "stereo"
    output = np.zeros((1 if layout == "mono" else 2, max(1, round((end_s - start_s) * hz))), np.float32)
    resampler = av.AudioResampler(format="fltp", layout=layout, rate=hz)
    base = Fraction(cast(Fraction, stream.time_base))
    _seek(container, start_s - _LEAD_IN_S)
    position: int | None = None  # index of the next sample
    for packet in _demuxed(container):
        try:
            decoded = [
                (frame, resampler.resample(frame)) for frame in packet.decode() if frame.pts is not None
            ]
        except av.error.FFmpegError as error:
            raise_machine_error(error)
            if packet.pts is not None and packet.pts * base < start_s:
                continue  # it depends on packets before the position that was searched for
            raise UnreadableFile(f"its audio cannot be decoded: {error.strerror}") from error
        except ValueError as error:
            raise UnreadableFile(
                "its audio cannot be decoded: its sample rate or channel layout changes"
            ) from error
        for frame, pieces in decoded:
            time_s = cast(int, frame.pts) * Fraction(cast(Fraction, frame.time_base))
            if time_s >= end_s:
                return output, hz
            expected = round((time_s - start_s) * hz)
            if position is None or abs(expected - position) > _MAX_ROUNDING_S * hz:
                position = expected
            for piece in pieces:
                samples = piece.to_ndarray()
                first, last = max(0, position), min(output.shape[1], position + samples.shape[1])
                if first < last:
                    output[:, first:last] = samples[:, first - position : last - position]
                position += samples.shape[1]
    return output, hz


def _encode(samples: npt.NDArray[np.float32], hz: int, encoder: str, bits_per_s: int) -> AudioWriter:
    import av

    layout = "mono" if len(samples) == 1 else "stereo"
    rate = (
        _OPUS_HZ if encoder == "libopus" else min(_RATES_HZ, key=lambda rate_hz: (abs(rate_hz - hz), rate_hz))
    )
    frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout=layout)
    frame.sample_rate, frame.pts, frame.time_base = hz, 0, Fraction(1, hz)

    def write(container: "av.container.OutputContainer") -> Iterator[tuple[float, "AudioPacket"]]:
        stream = cast(av.AudioStream, container.add_stream(encoder, rate=rate, layout=layout))
        context = stream.codec_context
        context.bit_rate = bits_per_s
        context.flags |= av.codec.context.Flags.bitexact
        frames: list[av.AudioFrame] = [frame]
        if rate != hz:
            resampler = av.AudioResampler(format="fltp", layout=layout, rate=rate)
            frames = [*resampler.resample(frame), *resampler.resample(None)]
        for audio_frame in (*frames, None):
            for packet in stream.encode(audio_frame):
                yield float(cast(int, packet.pts) * Fraction(packet.time_base)), packet

    return write


def _seek(container: "av.container.InputContainer", time_s: Fraction) -> None:
    """Seek to a packet before a time, or to the beginning if the file cannot be searched."""
    import av

    stream = container.streams.audio[0]
    try:
        container.seek(max(0, int(time_s / Fraction(cast(Fraction, stream.time_base)))), stream=stream)
    except av.error.FFmpegError:
        container.seek(0)


def _demuxed(container: "av.container.InputContainer") -> Iterator["AudioPacket"]:
    import av

    try:
        yield from container.demux(container.streams.audio[0])
    except av.error.FFmpegError as error:
        raise_machine_error(error)
        raise UnreadableFile(f"its audio cannot be read: {error.strerror}") from error
