"""Measures noise, coding artifacts and color of a clip, from the signals of its stills."""

from collections.abc import Iterator, Sequence

import numpy as np

from manifests import Artifact, NonNegativeFloat, Row, column
from pipeline import Annotate, Reject
from stages.media.signals import read_signals

NAMES = ("noise", "blockiness", "colorfulness")
STEP = "quantizer_step"


class Clip(Row):
    signals: Artifact
    start_frame: int
    end_frame: int


class Stills(Row):
    noise: float = column(
        "standard deviation of luma in the flattest fifth of the image, in levels of 0 to 255, as coded",
        unit="1",
    )
    blockiness: float = column(
        "luma step at the borders of the codec's blocks beyond the step elsewhere, in levels of 0 to 255",
        unit="1",
    )
    quantizer_step: float = column(
        "step to which the encoder rounded luma, in levels of 0 to 255: the larger of the codec's own value "
        "and the estimate from blockiness",
        unit="1",
    )
    colorfulness: float = column(
        "colorfulness by Hasler and Süsstrunk 2003: 15 slight, 45 average, 82 high", unit="1"
    )


class MeasureStills(Annotate[Clip, Stills]):
    """Measures noise, traces of coding and colorfulness, as medians over the stills of the clip.

    The codec's quantizer step describes the last encoding only. Block borders also show an earlier encoding,
    but only of an encoder that leaves blocks. Encoders without a deblocking filter (MPEG-4, MPEG-2, Motion
    JPEG) leave blocks at any quality, so blockiness counts with the smallest step that leaves it.

    A clip is rejected if it has no still, if its only still has no frame after it, or if its frames have
    fewer pixels than two blocks.

    Attributes:
        step_per_blockiness: Quantizer step, in luma levels of 0 to 255, that a blockiness of 1
            proves. Higher values find more clips with an earlier bad encoding, and condemn good MPEG-4.
    """

    version = 3
    from_store = True

    step_per_blockiness: NonNegativeFloat = 12.0

    def annotate(self, rows: Sequence[Clip]) -> Iterator[Stills | Reject]:
        for row in rows:
            signals = read_signals(row.signals, (*NAMES, STEP), row.start_frame, row.end_frame)
            known = {name: values[np.isfinite(values)] for name, values in signals.items()}
            if not known["colorfulness"].size:
                yield Reject("too short to measure noise, blocks and color: the clip has no still")
            elif not known["noise"].size or not known["blockiness"].size:
                yield Reject(
                    "too small or too short to measure noise and blocks: "
                    "under 16 px, or the only still has no next frame"
                )
            else:
                medians = {name: float(np.median(values)) for name, values in known.items() if values.size}
                step = max(medians.pop(STEP, 0.0), medians["blockiness"] * self.step_per_blockiness)
                yield Stills(quantizer_step=max(0.0, step), **medians)
