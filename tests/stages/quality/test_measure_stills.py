"""Medians over the stills of a clip, and a reason where there are none."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from manifests import Artifact
from pipeline import Reject
from stages.quality.measure_stills import Clip, MeasureStills, Stills


def test_the_median_of_the_clips_own_stills(stored: Callable[..., Artifact]) -> None:
    noise = np.full(48, math.nan)
    noise[[0, 12, 24, 36]] = [9.0, 1.0, 2.0, 6.0]
    signals = stored(
        np.arange(48) / 24, noise=noise, blockiness=noise / 10, quantiser_step=noise, colourfulness=noise * 10
    )
    clips = [Clip(signals=signals, start_frame=a, end_frame=b) for a, b in ((1, 48), (1, 12))]
    [said] = MeasureStills().annotate(clips[:1])
    assert isinstance(said, Stills)
    assert (said.noise, said.colourfulness) == (2.0, 20.0)
    assert said.blockiness == pytest.approx(0.2)
    [none] = MeasureStills().annotate(clips[1:])
    assert isinstance(none, Reject)
    assert "no still" in str(none)


def test_a_picture_smaller_than_a_block_has_no_blocks(stored: Callable[..., Artifact]) -> None:
    signals = stored([0.0], noise=[0.1], blockiness=[math.nan], quantiser_step=[1.0], colourfulness=[30.0])
    [none] = MeasureStills().annotate([Clip(signals=signals, start_frame=0, end_frame=1)])
    assert isinstance(none, Reject)
    assert "too small" in str(none)


@pytest.mark.parametrize(
    ("blockiness", "step", "quantizer_step"),
    [(0.3, 8.0, 32.1), (0.1, 40.0, 40.0), (0.3, math.nan, 32.1), (-0.1, math.nan, 0.0)],
)
def test_the_worse_of_what_codec_and_blocks_tell(
    stored: Callable[..., Artifact], blockiness: float, step: float, quantizer_step: float
) -> None:
    signals = stored([0.0], noise=[0.1], blockiness=[blockiness], quantiser_step=[step], colourfulness=[30.0])
    [said] = MeasureStills().annotate([Clip(signals=signals, start_frame=0, end_frame=1)])
    assert isinstance(said, Stills)
    assert said.quantizer_step == pytest.approx(quantizer_step, rel=1e-3)
