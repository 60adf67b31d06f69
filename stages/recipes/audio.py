"""Measurements of audio and the limits on them, all off by default."""

from dataclasses import dataclass
from typing import Annotated, TypeAlias

from manifests import Range, Share
from pipeline import Rows
from stages.audio.measure_audio import MeasureAudio
from stages.audio.scan_audio import ScanAudio
from stages.recipes.limits import limit_rules

Level: TypeAlias = Annotated[float, Range(-120, 20)]


@dataclass(frozen=True)
class AudioLimits:
    """Measurements of audio. A recipe's argument of this type stands for all of these knobs.

    Audio is decoded if it is measured, or if a limit is set.

    Attributes:
        measure_audio: Whether silence, loudness, peak, clipping and speech of each clip are measured. The
            audio of each video is decoded once.
        min_silence_share: Minimum share of the time that is silent, 0 to 1. Higher drops more. 1 keeps only
            clips without sound.
        max_silence_share: Maximum share of the time that is silent, 0 to 1; 1 without audio. Higher keeps
            more.
        min_speech_share: Minimum share of the time with speech, 0 to 1. Higher drops more.
        max_speech_share: Maximum share of the time with speech, 0 to 1. Higher keeps more. 0 keeps only clips
            without speech.
        min_loudness_lufs: Minimum integrated loudness in LUFS (EBU R 128). Higher drops more. Broadcast audio
            has -23.
        max_loudness_lufs: Maximum integrated loudness in LUFS (EBU R 128). Higher keeps more.
        max_audio_peak_dbfs: Maximum peak in dB relative to full scale. Higher keeps more.
        max_audio_clipping_share: Maximum share of the samples that are clipped, 0 to 1. Higher keeps more.
    """

    measure_audio: bool = False
    min_silence_share: Share | None = None
    max_silence_share: Share | None = None
    min_speech_share: Share | None = None
    max_speech_share: Share | None = None
    min_loudness_lufs: Level | None = None
    max_loudness_lufs: Level | None = None
    max_audio_peak_dbfs: Level | None = None
    max_audio_clipping_share: Share | None = None


def scan_audio(videos: Rows, limits: AudioLimits) -> Rows:
    """Add the step that decodes the audio of videos, if it is measured."""
    return videos.annotate(ScanAudio()) if _is_measured(limits) else videos


def limit_audio(clips: Rows, limits: AudioLimits) -> Rows:
    """Add the step that measures the audio of clips, if it is measured, and the rules that are set."""
    if not _is_measured(limits):
        return clips
    clips = clips.annotate(MeasureAudio())
    for rule in limit_rules(limits, AudioLimits):
        clips = clips.keep(rule.where, because=rule.because)
    return clips


def _is_measured(limits: AudioLimits) -> bool:
    return limits.measure_audio or bool(limit_rules(limits, AudioLimits))
