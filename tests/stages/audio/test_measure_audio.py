"""Audio is measured in blocks, once for each video, and agrees with FFmpeg's meter of EBU R 128."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from manifests import Artifact
from pipeline import Keep, Reject
from stages.audio.measure_audio import AudioMeasures, Clip, MeasureAudio
from stages.audio.scan_audio import ScanAudio, ScannedAudio, Video
from stages.recipes.curate import Curation, curate

HZ = 44_100


def tone(seconds: float, amplitude: float) -> np.ndarray:
    return amplitude * np.sin(2 * np.pi * 997 * np.arange(round(seconds * HZ)) / HZ)


def write_audio(path: Path, left: np.ndarray, right: np.ndarray | None = None, start_s: float = 0.0) -> Path:
    """Write samples of -1 to 1 as 16-bit PCM into a Matroska file."""
    samples = np.stack([left] if right is None else [left, right], axis=1)
    values = np.rint(samples * 32767).astype(np.int16).reshape(1, -1)
    layout = "mono" if right is None else "stereo"
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("pcm_s16le", rate=HZ, layout=layout)
        frame = av.AudioFrame.from_ndarray(values, format="s16", layout=layout)
        frame.sample_rate, frame.time_base = HZ, Fraction(1, HZ)
        frame.pts = round(start_s * HZ)
        for packet in (*stream.encode(frame), *stream.encode(None)):
            container.mux(packet)
    return path


def scan(path: Path, **settings: Any) -> ScannedAudio:
    [found] = ScanAudio(**settings).annotate([Video(uri=str(path), has_audio=True)])
    assert isinstance(found, ScannedAudio), found
    return found


def measure(signals: Artifact | None, start_s: float, end_s: float) -> AudioMeasures:
    clip = Clip(
        start_pts=round(start_s * 1000), end_pts=round(end_s * 1000), time_base_num=1, time_base_den=1000,
        audio_signals=signals,
    )  # fmt: skip
    [found] = MeasureAudio().annotate([clip])
    assert isinstance(found, AudioMeasures)
    return found


def reference_lufs(path: Path) -> float:
    """Integrated loudness of a file by FFmpeg's filter ebur128."""
    graph, loudness = av.filter.Graph(), "-70"
    with av.open(str(path)) as container:
        source = graph.add_abuffer(template=container.streams.audio[0])
        meter, sink = graph.add("ebur128", "metadata=1"), graph.add("abuffersink")
        graph.link_nodes(source, meter, sink).configure()
        for frame in container.decode(audio=0):
            graph.push(frame)
            while True:
                try:
                    loudness = graph.pull().metadata["lavfi.r128.I"]
                except av.error.BlockingIOError:
                    break
    return float(loudness)


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> ScannedAudio:
    """3 s of a tone in both channels, 2 s of silence, and 1 s of a tone that clips, from 1.5 s on."""
    loud = np.concatenate([tone(3, 0.1), np.zeros(2 * HZ), np.clip(tone(1, 2.0), -1, 1)])
    folder = tmp_path_factory.mktemp("audio")
    return scan(write_audio(folder / "mixed.mkv", loud, loud, start_s=1.5), detect_speech=False)


def test_a_tone_of_known_loudness(mixed: ScannedAudio) -> None:
    assert (mixed.audio_codec, mixed.audio_sample_rate_hz, mixed.audio_channels) == ("pcm_s16le", HZ, 2)
    found = measure(mixed.audio_signals, 1.5, 4.5)
    assert found.loudness_lufs == pytest.approx(-20.0, abs=0.05)  # EBU Tech 3341: -20 dBFS in both channels
    assert found.audio_peak_dbfs == pytest.approx(-20.0, abs=0.05)
    assert (found.silence_share, found.audio_clipping_share) == (0, 0)


def test_silence_and_clipping(mixed: ScannedAudio) -> None:
    silent = measure(mixed.audio_signals, 4.6, 6.4)
    assert (silent.silence_share, silent.loudness_lufs, silent.audio_peak_dbfs) == (1, -70, -120)
    half = measure(mixed.audio_signals, 3.5, 5.5)
    assert half.silence_share == pytest.approx(0.5)
    clipped = measure(mixed.audio_signals, 6.6, 7.4)
    assert clipped.audio_clipping_share == pytest.approx(2 / 3, abs=0.02)  # a sine of twice full scale
    assert clipped.audio_peak_dbfs > -0.1
    beyond = measure(mixed.audio_signals, 6.5, 8.5)
    assert beyond.silence_share == pytest.approx(0.5), "time after the end of the audio is silent"


def test_a_clip_without_audio_is_silent_and_a_clip_of_a_jumping_clock_is_rejected(
    mixed: ScannedAudio,
) -> None:
    [none] = ScanAudio(detect_speech=False).annotate([Video(uri="no file", has_audio=False)])
    assert none == ScannedAudio(audio_codec="", audio_sample_rate_hz=0, audio_channels=0, audio_signals=None)
    found = measure(None, 0, 3)
    assert found == AudioMeasures(
        silence_share=1, speech_share=0, loudness_lufs=-70, audio_peak_dbfs=-120, audio_clipping_share=0
    )
    clip = Clip(
        start_pts=0, end_pts=1000, time_base_num=1, time_base_den=1000, audio_signals=mixed.audio_signals,
        time_repair="joined",
    )  # fmt: skip
    [rejected] = MeasureAudio().annotate([clip])
    assert isinstance(rejected, Reject)


def test_loudness_is_gated_as_in_ffmpeg(tmp_path: Path) -> None:
    noise = np.random.default_rng(3).uniform(-1, 1, 3 * HZ)
    quiet = np.concatenate([tone(4, 0.2), 0.001 * noise, tone(3, 0.02) + 0.05 * noise])
    path = write_audio(tmp_path / "gated.mkv", quiet)
    found = measure(scan(path, detect_speech=False).audio_signals, 0, len(quiet) / HZ)
    assert found.loudness_lufs == pytest.approx(reference_lufs(path), abs=0.1)


def test_speech_is_found_in_real_footage_and_not_in_noise(footage: Path, tmp_path: Path) -> None:
    speaking = scan(footage / "natural_more/facerec__short_hamilton_clip.mp4")
    assert measure(speaking.audio_signals, 0, 10).speech_share > 0.8
    noise = np.random.default_rng(3).uniform(-0.3, 0.3, 2 * HZ)
    still = scan(write_audio(tmp_path / "noise.mkv", np.concatenate([noise, tone(2, 0.3)])))
    assert measure(still.audio_signals, 0, 4).speech_share == 0
    assert measure(still.audio_signals, 0, 4).silence_share == 0


def test_a_limit_on_audio_adds_the_steps_that_it_needs() -> None:
    plain, measured = curate("x").nodes, curate("x", curation=Curation(measure_audio=True)).nodes
    assert set(measured) - set(plain) == {"scan_audio", "measure_audio"}

    limited = curate("x", curation=Curation(min_speech_share=0.2, max_loudness_lufs=-14.0)).nodes

    assert limited["speech_share_too_low"].work == Keep("speech_share >= 0.2", "speech_share too low")
    assert limited["loudness_lufs_too_high"].work == Keep("loudness_lufs <= -14.0", "loudness_lufs too high")
    order = list(limited)
    assert order.index("scan_audio") < order.index("find_shots") < order.index("measure_audio")
