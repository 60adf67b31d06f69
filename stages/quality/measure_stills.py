"""Measures noise, the blocks of a codec, and colour, from what the scan saw in the stills."""

from collections.abc import Iterator, Sequence

import numpy as np

from manifests import Artifact, Row, column
from pipeline import Annotate, Reject
from stages.media.signals import read_signals

NAMES = ("noise", "blockiness", "colourfulness")
STEP = "quantiser_step"


class Clip(Row):
    signals: Artifact
    start_frame: int
    end_frame: int


class Stills(Row):
    noise: float = column("standard deviation of luma in the flattest fifth, as coded, of 255", unit="1")
    blockiness: float = column("step of luma at the codec's block borders beyond others, of 255", unit="1")
    quantizer_step: float = column(
        "step to which luma was rounded, of 255: as the codec tells, or as blockiness does, the greater",
        unit="1",
    )
    colourfulness: float = column("Hasler and Süsstrunk's: 15 slight, 45 average, 82 high", unit="1")


class MeasureStills(Annotate[Clip, Stills]):
    """Medians over the stills of the clip.

    A codec tells how it was asked to code, and knows nothing of what an encoder before it did; blocks show
    that, but only where a plain encoder left them. `per_block` is the step that a blockiness of 1 stands for.

    Rejected: a clip so short that no still lies in it, or that the one still in it has no frame
    after it, or whose pictures are of fewer pixels than two blocks.
    """

    from_store = True

    per_block: float = 107.0

    def annotate(self, rows: Sequence[Clip]) -> Iterator[Stills | Reject]:
        for row in rows:
            stored = read_signals(row.signals, (*NAMES, STEP), row.start_frame, row.end_frame)
            seen = {name: values[np.isfinite(values)] for name, values in stored.items()}
            if not seen["colourfulness"].size:
                yield Reject("too short to measure noise, blocks and colour: no still lies in the clip")
            elif not seen["noise"].size or not seen["blockiness"].size:
                yield Reject(
                    "too small or too short to measure noise and blocks: under 16 px, or a still alone"
                )
            else:
                said = {name: float(np.median(values)) for name, values in seen.items() if values.size}
                step = max(said.pop(STEP, 0.0), said["blockiness"] * self.per_block)
                yield Stills(quantizer_step=max(0.0, step), **said)
