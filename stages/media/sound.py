"""The sound of a span of a film: cut to the sample and encoded again, or its packets as they are."""

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import TYPE_CHECKING, cast

import numpy as np

from stages.media.container import open_container, raise_if_ours
from stages.media.errors import Unreadable
from stages.media.mp4 import Sound

if TYPE_CHECKING:
    import av

ENCODERS = {"aac": "aac", "opus": "libopus"}
_OPUS_HZ = 48000
_RATES_HZ = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000)  # of AAC
_MOST_HZ = 768_000  # more is damage
_RUN_UP_S = 1  # decoded before the span, so that what leans on packets before it is whole
_ROUNDED_S = Fraction(1, 100)  # by which times may be rounded; more is a hole, or sound that was left out
_IN_MP4 = {"aac", "mp3", "opus", "ac3", "eac3", "alac", "flac"}


@contextmanager
def sound_of(
    uri: str, start_s: Fraction, end_s: Fraction, how: str, bits_per_s: int
) -> Iterator[Sound | None]:
    """What to write beside the pictures of a span; None where the film has no sound.

    Args:
        start_s, end_s: in the time of the container, where the pictures' times are, too.
        how: "aac" or "opus": decoded, cut to the sample, with silence where there is none, and encoded
            at the source's rate where the encoder has that; mono, or mixed down to stereo. "copy": the
            packets that begin inside the span, as they are, each at its time.

    Raises:
        Unreadable: the sound cannot be decoded, or not be copied into an mp4.
    """
    container, file = open_container(uri)
    try:
        if not container.streams.audio:
            yield None
        elif how == "copy":
            yield _copied(container, start_s, end_s)
        else:
            yield _encoded(*_samples(container, start_s, end_s), ENCODERS[how], bits_per_s)
    finally:
        container.close()
        if file is not None:
            file.close()


def _copied(container: "av.container.InputContainer", start_s: Fraction, end_s: Fraction) -> Sound:
    source = container.streams.audio[0]
    base = Fraction(cast(Fraction, source.time_base))
    name = source.codec_context.codec.canonical_name
    if name not in _IN_MP4:
        raise Unreadable(f"its sound is {name}, which an mp4 does not hold; encode it: aac or opus")

    def sound(out: "av.container.OutputContainer") -> Iterator[tuple[float, "av.Packet"]]:
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

    return sound


def _samples(
    container: "av.container.InputContainer", start_s: Fraction, end_s: Fraction
) -> tuple[np.ndarray, int]:
    """The sound of the span, float32 [channels samples], each sample at its time; and the rate."""
    import av

    stream = container.streams.audio[0]
    if stream.codec_context is None or not 0 < (stream.rate or 0) <= _MOST_HZ:
        raise Unreadable("its sound cannot be decoded: no decoder, or no rate that sound has")
    hz, layout = stream.rate, "mono" if stream.codec_context.channels == 1 else "stereo"
    whole = np.zeros((1 if layout == "mono" else 2, max(1, round((end_s - start_s) * hz))), np.float32)
    resampler = av.AudioResampler(format="fltp", layout=layout, rate=hz)
    base = Fraction(cast(Fraction, stream.time_base))
    _seek(container, start_s - _RUN_UP_S)
    at: int | None = None  # the place of the next sample
    for packet in _demuxed(container):
        try:
            heard = [(frame, resampler.resample(frame)) for frame in packet.decode() if frame.pts is not None]
        except av.error.FFmpegError as error:
            raise_if_ours(error)
            if packet.pts is not None and packet.pts * base < start_s:
                continue  # it leans on what lies before the place that was searched for
            raise Unreadable(f"its sound cannot be decoded: {error.strerror}") from error
        except ValueError as error:
            raise Unreadable(
                "its sound cannot be decoded: it changes its rate or layout on the way"
            ) from error
        for frame, pieces in heard:
            time_s = frame.pts * Fraction(cast(Fraction, frame.time_base))
            if time_s >= end_s:
                return whole, hz
            said = round((time_s - start_s) * hz)
            if at is None or abs(said - at) > _ROUNDED_S * hz:
                at = said
            for piece in pieces:
                samples = piece.to_ndarray()
                first, last = max(0, at), min(whole.shape[1], at + samples.shape[1])
                if first < last:
                    whole[:, first:last] = samples[:, first - at : last - at]
                at += samples.shape[1]
    return whole, hz


def _encoded(samples: np.ndarray, hz: int, encoder: str, bits_per_s: int) -> Sound:
    import av

    layout = "mono" if len(samples) == 1 else "stereo"
    rate = _OPUS_HZ if encoder == "libopus" else min(_RATES_HZ, key=lambda known: (abs(known - hz), known))
    frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout=layout)
    frame.sample_rate, frame.pts, frame.time_base = hz, 0, Fraction(1, hz)

    def sound(container: "av.container.OutputContainer") -> Iterator[tuple[float, "av.Packet"]]:
        stream = cast(av.AudioStream, container.add_stream(encoder, rate=rate, layout=layout))
        context = stream.codec_context
        context.bit_rate = bits_per_s
        context.flags |= av.codec.context.Flags.bitexact
        whole = [frame]
        if rate != hz:
            resampler = av.AudioResampler(format="fltp", layout=layout, rate=rate)
            whole = [*resampler.resample(frame), *resampler.resample(None)]
        for given in (*whole, None):
            for packet in stream.encode(given):
                yield float(cast(int, packet.pts) * Fraction(cast(Fraction, packet.time_base))), packet

    return sound


def _seek(container: "av.container.InputContainer", time_s: Fraction) -> None:
    """Go to some packet before a time; to the beginning, where the file cannot be searched."""
    import av

    stream = container.streams.audio[0]
    try:
        container.seek(max(0, int(time_s / Fraction(cast(Fraction, stream.time_base)))), stream=stream)
    except av.error.FFmpegError:
        container.seek(0)


def _demuxed(container: "av.container.InputContainer") -> Iterator["av.Packet"]:
    import av

    try:
        yield from container.demux(container.streams.audio[0])
    except av.error.FFmpegError as error:
        raise_if_ours(error)
        raise Unreadable(f"its sound cannot be read: {error.strerror}") from error
