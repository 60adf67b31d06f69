"""Measures audio in blocks of 100 ms: energy, peak, clipping, momentary loudness and speech."""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt

from stages.media.decoding.container import raise_machine_error
from stages.media.errors import UnreadableFile

if TYPE_CHECKING:
    import av

    from stages.models.speech_detector import SpeechDetector

BLOCK_S = Fraction(1, 10)
MIN_RATE_HZ, OTHER_RATE_HZ = 16_000, 48_000  # audio of lower and of odd rates is resampled
CLIPPED = 0.999  # absolute value of a clipped sample, at least
SILENCE_LUFS = -120.0  # momentary loudness of digital silence, which has none
_MAX_ROUNDING_S = Fraction(1, 100)  # larger differences between times are gaps in the audio
_MAX_PIECE = 48_000  # samples of silence in a gap that are made at once

Samples = npt.NDArray[np.float32]  # [channels samples]
COLUMNS = {
    "time_s": "start of the block in the time of the container [s]",
    "mean_square": "mean square of the samples of all channels; 0.5 for a full-scale sine [1]",
    "peak": "largest absolute sample [1]",
    "clipped_share": "share of the samples that are clipped [0..1]",
    "momentary_lufs": "loudness of the 400 ms that end with the block, as in EBU R 128 [LUFS]",
    "speech": "probability of speech [0..1]",
}


class Audio(NamedTuple):
    """An audio stream without gaps.

    Attributes:
        start_s: Time of the first sample in the time of the container, in s.
        rate_hz: Samples per s: those of the stream if 100 ms hold a whole number of them, and enough.
        pieces: Its samples, in order. Gaps are silence.
    """

    start_s: Fraction
    rate_hz: int
    pieces: Iterator[Samples]


def decode_audio(container: "av.container.InputContainer") -> Audio | None:
    """Decode the first audio stream of a container; None if it holds no samples.

    Raises:
        UnreadableFile: There is no decoder, or the audio is damaged.
    """
    import av

    stream = container.streams.audio[0]
    if stream.codec_context is None or not stream.rate:
        raise UnreadableFile("its audio cannot be decoded: no decoder, or an invalid sample rate")
    rate_hz = stream.rate if stream.rate % 10 == 0 and stream.rate >= MIN_RATE_HZ else OTHER_RATE_HZ
    resampler = av.AudioResampler(format="fltp", layout=stream.codec_context.layout.name, rate=rate_hz)
    frames = _frames(container, stream)
    first = next(frames, None)
    if first is None:
        return None
    return Audio(_time_s(first), rate_hz, _pieces(chain([first], frames), _time_s(first), resampler))


def _time_s(frame: "av.AudioFrame") -> Fraction:
    return cast(int, frame.pts) * Fraction(cast(Fraction, frame.time_base))


def _frames(container: "av.container.InputContainer", stream: "av.AudioStream") -> Iterator["av.AudioFrame"]:
    import av

    try:
        for frame in container.decode(stream):
            if frame.pts is not None:
                yield frame
    except av.error.FFmpegError as error:
        raise_machine_error(error)
        raise UnreadableFile(f"its audio cannot be decoded: {error.strerror}") from error


def _pieces(
    frames: Iterable["av.AudioFrame"], start_s: Fraction, resampler: "av.AudioResampler"
) -> Iterator[Samples]:
    position = 0  # number of samples so far
    for frame in frames:
        missing = round((_time_s(frame) - start_s) * resampler.rate) - position
        if missing > _MAX_ROUNDING_S * resampler.rate:
            position += missing
            for piece_start in range(0, missing, _MAX_PIECE):
                yield np.zeros((frame.layout.nb_channels, min(_MAX_PIECE, missing - piece_start)), np.float32)
        for piece in _resampled(resampler, frame):
            position += piece.shape[1]
            yield piece


def _resampled(resampler: "av.AudioResampler", frame: "av.AudioFrame") -> Iterator[Samples]:
    try:
        for piece in resampler.resample(frame):
            yield np.asarray(piece.to_ndarray(), np.float32)
    except ValueError as error:
        raise UnreadableFile(
            "its audio cannot be decoded: its sample rate or channel layout changes"
        ) from error


def measure_blocks(audio: Audio, detector: "SpeechDetector | None") -> dict[str, npt.NDArray[np.float32]]:
    """The columns of `COLUMNS`, one value per block. A block at the end that is not complete is padded.

    Args:
        detector: Finds speech; without one, `speech` is NaN.
    """
    size_of_block = int(audio.rate_hz * BLOCK_S)
    meter, speech = _LoudnessMeter(audio.rate_hz), _SpeechMeter(audio.rate_hz, detector)
    values: dict[str, list[float]] = {"mean_square": [], "peak": [], "clipped_share": []}
    rest: Samples | None = None
    for piece in _with_end(audio.pieces, size_of_block):
        samples = piece if rest is None else np.concatenate([rest, piece], axis=1)
        whole = samples.shape[1] // size_of_block * size_of_block
        rest = samples[:, whole:]
        for first in range(0, whole, size_of_block):
            block = samples[:, first : first + size_of_block]
            size = np.abs(block)
            values["mean_square"].append(float(np.mean(block * block, dtype=np.float64)))
            values["peak"].append(float(size.max()))
            values["clipped_share"].append(float((size >= CLIPPED).mean()))
            meter.add(block)
            speech.add(block)
    columns = {**values, "momentary_lufs": meter.values(), "speech": speech.values(len(values["peak"]))}
    return {name: np.asarray(column, np.float32) for name, column in columns.items()}


def _with_end(pieces: Iterator[Samples], size_of_block: int) -> Iterator[Samples]:
    """The pieces, and silence up to the end of the last block."""
    total, channels = 0, 1
    for piece in pieces:
        channels, total = piece.shape[0], total + piece.shape[1]
        yield piece
    if total % size_of_block:
        yield np.zeros((channels, size_of_block - total % size_of_block), np.float32)


class _LoudnessMeter:
    """Momentary loudness by FFmpeg's filter `ebur128`, which gives one value for each block."""

    def __init__(self, rate_hz: int) -> None:
        self._graph: Any = None
        self._rate_hz, self._count = rate_hz, 0
        self._values: list[float] = []

    def add(self, block: Samples) -> None:
        import av

        layout = {1: "mono", 2: "stereo"}.get(len(block), f"{len(block)}c")
        if self._graph is None:
            self._graph = av.filter.Graph()
            source = self._graph.add_abuffer(
                sample_rate=self._rate_hz, format="fltp", layout=layout, time_base=Fraction(1, self._rate_hz)
            )
            meter, sink = self._graph.add("ebur128", "metadata=1"), self._graph.add("abuffersink")
            self._graph.link_nodes(source, meter, sink).configure()
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block), format="fltp", layout=layout)
        frame.sample_rate, frame.time_base = self._rate_hz, Fraction(1, self._rate_hz)
        frame.pts = self._count
        self._count += block.shape[1]
        self._graph.push(frame)
        self._read()

    def values(self) -> list[float]:
        """The values of all blocks."""
        if self._graph is not None:
            self._graph.push(None)
            self._read()
        return self._values

    def _read(self) -> None:
        import av

        while True:
            try:
                found = float(self._graph.pull().metadata["lavfi.r128.M"])
            except (av.error.BlockingIOError, av.error.EOFError):
                return
            self._values.append(found if found > SILENCE_LUFS else SILENCE_LUFS)


class _SpeechMeter:
    """Probability of speech of each block: the mean over the frames that begin in it."""

    def __init__(self, rate_hz: int, detector: "SpeechDetector | None") -> None:
        self._rate_hz, self._detector = rate_hz, detector
        self._found: list[npt.NDArray[np.float32]] = []
        self._resampler: Any = None
        if detector is not None:
            detector.reset()

    def add(self, block: Samples) -> None:
        import av

        from stages.models.speech_detector import RATE_HZ as SPEECH_HZ

        if self._detector is None:
            return
        self._resampler = self._resampler or av.AudioResampler(format="fltp", layout="mono", rate=SPEECH_HZ)
        mono = np.ascontiguousarray(block.mean(axis=0, keepdims=True, dtype=np.float32))
        frame = av.AudioFrame.from_ndarray(mono, format="fltp", layout="mono")
        frame.sample_rate = self._rate_hz
        for piece in self._resampler.resample(frame):
            self._found.append(self._detector(np.asarray(piece.to_ndarray()[0], np.float32)))

    def values(self, blocks: int) -> list[float]:
        """The values of all blocks. A block after the last complete frame has the value of that frame."""
        if self._detector is None or not self._found:
            return [float("nan")] * blocks
        from stages.models.speech_detector import FRAME
        from stages.models.speech_detector import RATE_HZ as SPEECH_HZ

        found = np.concatenate(self._found)
        if not found.size:
            return [float("nan")] * blocks
        starts = np.arange(blocks + 1) * float(BLOCK_S) * SPEECH_HZ / FRAME
        first = np.minimum(np.floor(starts[:-1]).astype(int), found.size - 1)
        last = np.maximum(first + 1, np.minimum(np.floor(starts[1:]).astype(int), found.size))
        return [float(found[a:b].mean()) for a, b in zip(first.tolist(), last.tolist(), strict=True)]
