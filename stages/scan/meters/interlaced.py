"""Interlacing: whether a frame was coded as two fields, each with every other line and its own time."""

from collections.abc import Sequence

from stages.scan.meter import FrameView


class Interlaced:
    """The flag in the file. Film that was broadcast as fields has it too, although its frames do not comb."""

    columns = {"interlaced": "1 if the frame was coded as two fields, else 0 [0..1]"}

    def update(self, view: FrameView) -> Sequence[float]:
        return (float(view.is_interlaced),)
