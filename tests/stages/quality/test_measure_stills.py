"""Medians over the stills of a clip, and a reason where there is no still."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from manifests import Artifact
from pipeline import Reject
from stages.quality.measure_stills import Clip, MeasureStills, Stills


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
    [(0.3, 8.0, 32.1), (0.1, 40.0, 40.0), (0.3, math.nan, 32.1), (-0.1, math.nan, 0.0)],
)
def test_the_larger_step_of_codec_and_blocks_counts(
    stored: Callable[..., Artifact], blockiness: float, step: float, quantizer_step: float
) -> None:
    signals = stored([0.0], noise=[0.1], blockiness=[blockiness], quantizer_step=[step], colorfulness=[30.0])
    [row] = MeasureStills().annotate([Clip(signals=signals, start_frame=0, end_frame=1)])
    assert isinstance(row, Stills)
    assert row.quantizer_step == pytest.approx(quantizer_step, rel=1e-3)
