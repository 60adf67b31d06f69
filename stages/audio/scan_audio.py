"""Decodes the audio of each video once, and stores what is measured in blocks of 100 ms."""

import io
from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np

from manifests import Artifact, Row, column
from pipeline import Annotate, Needs, Reject
from stages.audio.blocks import BLOCK_S, COLUMNS, decode_audio, measure_blocks
from stages.media.decoding.container import open_container
from stages.models.speech_detector import SpeechDetector, weights_file
from stages.models.weights import digest_of_files


class Video(Row):
    uri: str
    has_audio: bool


class ScannedAudio(Row):
    audio_codec: str = column("name of the audio codec; empty if the file has no audio")
    audio_sample_rate_hz: int = column("sample rate of the audio; 0 if the file has no audio", unit="Hz")
    audio_channels: int = column("number of audio channels; 0 if the file has no audio")
    audio_signals: Artifact | None = column(
        "Parquet file with one row for each 100 ms: energy, peak, clipping, loudness and speech; null if the "
        "file has no audio"
    )


class ScanAudio(Annotate[Video, ScannedAudio]):
    """Decodes the first audio stream of each video and stores what `MeasureAudio` reads.

    Audio that cannot be decoded rejects the video.

    Attributes:
        detect_speech: Run the speech detector of Silero VAD, which takes most of the time.
    """

    detect_speech: bool = True

    needs = Needs(cpus=1, memory_gb=1)

    @cached_property
    def _detector(self) -> SpeechDetector | None:
        return SpeechDetector() if self.detect_speech else None

    def digest(self) -> str:
        return digest_of_files([weights_file()]) if self.detect_speech else ""

    def annotate(self, rows: Sequence[Video]) -> Iterator[ScannedAudio | Reject]:
        for row in rows:
            try:
                yield self._scan(row.uri) if row.has_audio else _NO_AUDIO
            except Reject as reject:
                yield reject

    def _scan(self, uri: str) -> ScannedAudio:
        container, file = open_container(uri)
        try:
            audio = decode_audio(container)
            if audio is None:
                return _NO_AUDIO
            columns = measure_blocks(audio, self._detector)
            context = container.streams.audio[0].codec_context
            times_s = float(audio.start_s) + float(BLOCK_S) * np.arange(len(columns["peak"]))
            return ScannedAudio(
                audio_codec=context.codec.canonical_name,
                audio_sample_rate_hz=context.sample_rate,
                audio_channels=context.channels,
                audio_signals=Artifact.of(_parquet({"time_s": times_s, **columns}), ".parquet"),
            )
        finally:
            container.close()
            if file is not None:
                file.close()


_NO_AUDIO = ScannedAudio(audio_codec="", audio_sample_rate_hz=0, audio_channels=0, audio_signals=None)


def _parquet(columns: dict[str, np.ndarray]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    arrays = {name: pa.array(values) for name, values in columns.items()}
    fields = [pa.field(n, a.type, False, {"meaning": COLUMNS[n]}) for n, a in arrays.items()]
    out = io.BytesIO()
    pq.write_table(
        pa.Table.from_arrays(list(arrays.values()), schema=pa.schema(fields)), out, compression="zstd"
    )
    return out.getvalue()
