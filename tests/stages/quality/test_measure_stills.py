"""Medians over the stills of a clip, and a reason where there is no still."""

import math
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from manifests import Artifact
from pipeline import Reject
from stages.quality.measure_stills import Clip, MeasureStills, Stills
from stages.recipes.filters import DEFAULT_FILTERS
from stages.scan.scan_video import ScannedVideo


def test_medians_are_over_the_stills_of_the_clip(stored: Callable[..., Artifact]) -> None:
    noise = np.full(48, math.nan)
    noise[[0, 12, 24, 36]] = [9.0, 1.0, 2.0, 6.0]
    signals = stored(
        np.arange(48) / 24, noise=noise, blockiness=noise / 10, quantizer_step=noise, colorfulness=noise * 10
    )
    clips = [Clip(signals=signals, start_frame=a, end_frame=b) for a, b in ((1, 48), (1, 12))]
    [row] = MeasureStills().annotate(clips[:1])
    assert isinstance(row, Stills)
    assert (row.noise, row.colorfulness) == (2.0, 20.0)
    assert row.blockiness == pytest.approx(0.2)
    [reject] = MeasureStills().annotate(clips[1:])
    assert isinstance(reject, Reject)
    assert "no still" in str(reject)


def test_frames_smaller_than_a_block_are_rejected(stored: Callable[..., Artifact]) -> None:
    signals = stored([0.0], noise=[0.1], blockiness=[math.nan], quantizer_step=[1.0], colorfulness=[30.0])
    [reject] = MeasureStills().annotate([Clip(signals=signals, start_frame=0, end_frame=1)])
    assert isinstance(reject, Reject)
    assert "too small" in str(reject)


@pytest.mark.parametrize(
    ("blockiness", "step", "quantizer_step"),
    [(3.0, 8.0, 36.0), (0.6, 16.0, 16.0), (3.0, math.nan, 36.0), (-0.1, math.nan, 0.0)],
)
def test_the_larger_step_of_codec_and_blocks_counts(
    stored: Callable[..., Artifact], blockiness: float, step: float, quantizer_step: float
) -> None:
    signals = stored([0.0], noise=[0.1], blockiness=[blockiness], quantizer_step=[step], colorfulness=[30.0])
    [row] = MeasureStills().annotate([Clip(signals=signals, start_frame=0, end_frame=1)])
    assert isinstance(row, Stills)
    assert row.quantizer_step == pytest.approx(quantizer_step, rel=1e-3)


@pytest.mark.parametrize(
    ("codec", "good", "bad"),
    [
        ("mpeg4", {"qmin": "4", "qmax": "4"}, {"qmin": "24", "qmax": "24"}),
        ("mpeg2video", {"qmin": "4", "qmax": "4"}, {"qmin": "24", "qmax": "24"}),
        ("mjpeg", {"qmin": "4", "qmax": "4"}, {"qmin": "24", "qmax": "24"}),
        ("libx264", {"crf": "20"}, {"crf": "42"}),
        (
            "libvpx-vp9",
            {"crf": "20", "b": "0", "deadline": "realtime", "cpu-used": "8"},
            {"crf": "60", "b": "0", "deadline": "realtime", "cpu-used": "8"},
        ),
        ("libx265", {"crf": "20", "preset": "ultrafast", "x265-params": "log-level=none:pools=1"}, {}),
        ("libvpx", {"qmin": "8", "qmax": "16", "deadline": "realtime", "cpu-used": "8", "b": "9M"}, {}),
        ("libsvtav1", {"crf": "25", "preset": "12"}, {}),
    ],
)
def test_a_low_bit_rate_is_found_in_codecs_that_state_it_and_no_good_clip_counts(
    tmp_path: Path,
    moving: Callable[..., Iterator[np.ndarray]],
    scan: Callable[..., ScannedVideo],
    codec: str,
    good: dict[str, str],
    bad: dict[str, str],
) -> None:
    limit = DEFAULT_FILTERS.max_quantizer_step
    images = list(moving(2, 8, size=(144, 192), step=(2, 1)))
    for options, is_low in ((good, False), (bad, True)):
        if not options:
            continue
        path = tmp_path / f"{codec}{is_low}.mkv"
        _encode(path, images, codec, options)
        scanned = scan(path, meters=("blocks", "noise", "color"), stills_per_s=12.0)
        row = Clip(signals=scanned.signals, start_frame=0, end_frame=len(images))
        [stills] = MeasureStills().annotate([row])
        assert isinstance(stills, Stills)
        assert (stills.quantizer_step >= limit) is is_low, (codec, options, stills)


def _encode(path: Path, images: list[np.ndarray], codec: str, options: dict[str, str]) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=24, options=options)
        assert isinstance(stream, av.VideoStream)
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        for number, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
