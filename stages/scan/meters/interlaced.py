"""Interlaced: whether a frame was coded as two fields, each of every other line and of a time of its own."""

from collections.abc import Sequence

from stages.scan.meter import View


class Interlaced:
    """What the file says: film that was sent as fields is told as interlaced, though it does not comb."""

    columns = {"interlaced": "1 where the frame was coded as two fields, else 0 [0..1]"}

    def update(self, view: View) -> Sequence[float]:
        return (float(view.interlaced),)
