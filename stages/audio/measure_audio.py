"""Measures the audio of each clip: silence, loudness, peak, clipping and speech."""

import math
from collections.abc import Iterator, Sequence
from typing import Annotated

import numpy as np
import numpy.typing as npt

from manifests import Artifact, Range, Row, Share, column
from pipeline import Annotate, Reject
from stages.audio.blocks import BLOCK_S
from stages.media.signals import read_signals

MIN_LUFS, MIN_DBFS = -70.0, -120.0  # of silence: the absolute gate of EBU R 128; about 20 bits
GATE_LU = -10.0  # relative gate of EBU R 128
NAMES = ("time_s", "mean_square", "peak", "clipped_share", "momentary_lufs", "speech")


class Clip(Row):
    start_pts: int
    end_pts: int
    time_base_num: int
    time_base_den: int
    audio_signals: Artifact | None
    time_repair: str = "none"


class AudioMeasures(Row):
    silence_share: float = column("share of the time that is silent; 1 without audio", unit="0..1")
    speech_share: float = column("share of the time with speech; 0 without audio", unit="0..1")
    loudness_lufs: float = column(
        "integrated loudness as in EBU R 128; -70 for silence and without audio", unit="LUFS"
    )
    audio_peak_dbfs: float = column(
        "largest sample, relative to full scale; -120 for silence and without audio", unit="dBFS"
    )
    audio_clipping_share: float = column("share of the samples that are clipped", unit="0..1")


class MeasureAudio(Annotate[Clip, AudioMeasures]):
    """Measures the audio of a clip from the signals that `ScanAudio` stored.

    Loudness is that of all blocks of 400 ms inside the clip, 100 ms apart, with both gates of EBU R 128. A
    clip that is shorter than 400 ms has -70 LUFS.

    A clip of a source whose clock jumps is rejected, because its audio cannot be found.

    Attributes:
        max_silence_dbfs: Level (root mean square) up to which 100 ms are silent, in dB relative to full
            scale. Higher values find more silence.
        min_speech: Probability from which 100 ms are speech, 0 to 1. Higher values find less speech.
    """

    from_store = True

    max_silence_dbfs: Annotated[float, Range(-120, 0)] = -50.0
    min_speech: Share = 0.5

    def annotate(self, rows: Sequence[Clip]) -> Iterator[AudioMeasures | Reject]:
        for row in rows:
            if row.time_repair == "joined" and row.audio_signals is not None:
                yield Reject("the clock of the source jumps, so the audio of the clip cannot be found")
                continue
            base = row.time_base_num / row.time_base_den
            start_s, end_s = row.start_pts * base, row.end_pts * base
            yield self._measure(row.audio_signals, start_s, end_s)

    def _measure(self, signals: Artifact | None, start_s: float, end_s: float) -> AudioMeasures:
        block_s = float(BLOCK_S)
        blocks = read_signals(signals, NAMES) if signals else {name: np.empty(0) for name in NAMES}
        times_s = blocks["time_s"]
        first, last = np.searchsorted(times_s + block_s / 2, (start_s, end_s)).tolist()
        inside = {name: values[first:last] for name, values in blocks.items()}
        expected = max(1, last - first, round((end_s - start_s) / block_s))
        loud = inside["mean_square"] > 10 ** (self.max_silence_dbfs / 10)
        peak = float(inside["peak"].max(initial=0.0))
        return AudioMeasures(
            silence_share=1 - float(loud.sum()) / expected,
            speech_share=float((inside["speech"] >= self.min_speech).sum()) / expected,
            loudness_lufs=integrated_loudness(inside["momentary_lufs"][3:]),
            audio_peak_dbfs=max(MIN_DBFS, 20 * math.log10(peak)) if peak > 0 else MIN_DBFS,
            audio_clipping_share=float(inside["clipped_share"].sum()) / expected,
        )


def integrated_loudness(momentary_lufs: npt.NDArray[np.floating]) -> float:
    """Loudness in LUFS of overlapping blocks of 400 ms: their mean, with both gates of EBU R 128."""
    energy = 10 ** (momentary_lufs[momentary_lufs > MIN_LUFS].astype(float) / 10)
    if not energy.size:
        return MIN_LUFS
    gated = energy[energy > energy.mean() * 10 ** (GATE_LU / 10)]
    return max(MIN_LUFS, 10 * math.log10(float(gated.mean())))
