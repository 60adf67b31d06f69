"""Small pictures of rows for the report: a still of each, and animated previews of some.

The column `strip` holds JPEGs one after the other; `strip_times_s` and `strip_offsets` locate each still. A
row with `start_s` and `end_s` shows the still nearest to the middle of its span; its preview plays the stills
of the span. Where a run made previews (column `preview`), these are used. Pictures become WebP.
"""

import base64
import io
from collections.abc import Iterable, Sequence
from typing import Any

from pipeline.history.find import RowLocation
from pipeline.report.run_reader import RunReader

_STILL_PX, _PREVIEW_PX = 320, 224  # longer side
_PREVIEW_FRAMES, _FRAME_MS = 8, 300
_QUALITY = 62  # of WebP
_MAX_JPEG_BYTES = 2_000_000  # of one still of a strip


class Pictures:
    """Collects pictures up to a number of bytes each of stills and of previews.

    Attributes:
        stills: The stills as base64 of WebP, by row.
        previews: The animated previews, by row.
    """

    def __init__(self, reader: RunReader, max_still_bytes: int, max_preview_bytes: int) -> None:
        self._reader = reader
        self._still_bytes, self._preview_bytes = max_still_bytes, max_preview_bytes
        self.stills: dict[int, str] = {}
        self.previews: dict[int, str] = {}

    def add_stills(self, rows: Sequence[RowLocation], chosen: Iterable[int]) -> None:
        """Add the stills of the chosen rows, until the bytes are used up."""
        for row in sorted(set(chosen)):
            if row not in self.stills and self._still_bytes > 0:
                data = self._still(rows[row])
                if data:
                    self._still_bytes -= len(data)
                    self.stills[row] = data

    def add_previews(self, rows: Sequence[RowLocation], chosen: Iterable[int]) -> None:
        """Add the previews of the chosen rows, until the bytes are used up."""
        for row in sorted(set(chosen)):
            if row not in self.previews and self._preview_bytes > 0:
                data = self._preview(rows[row])
                if data:
                    self._preview_bytes -= len(data)
                    self.previews[row] = data

    def _still(self, row: RowLocation) -> str:
        jpegs = self._jpegs(row, 1)
        images = [image for image in (_open(jpeg, _STILL_PX) for jpeg in jpegs) if image]
        return _webp(images[:1])

    def _preview(self, row: RowLocation) -> str:
        made = self._reader.value("preview", row)
        if made:
            data = self._read(made["path"], 0, made["size_bytes"])
            return base64.b64encode(data).decode() if data[8:12] == b"WEBP" else ""
        images = [
            image for image in (_open(j, _PREVIEW_PX) for j in self._jpegs(row, _PREVIEW_FRAMES)) if image
        ]
        return _webp([image for image in images if image.size == images[0].size]) if len(images) > 1 else ""

    def _jpegs(self, row: RowLocation, count: int) -> list[bytes]:
        """At most `count` evenly spaced stills of the span of a row; the nearest one if none is inside."""
        strip, times, offsets = (
            self._reader.value(name, row) for name in ("strip", "strip_times_s", "strip_offsets")
        )
        if not strip or not times or not offsets:
            return []
        start, end = self._reader.value("start_s", row), self._reader.value("end_s", row)
        if start is None or end is None:
            start, end = times[0], times[-1]
        inside = [i for i, time in enumerate(times) if start <= time < end]
        if count == 1 or not inside:
            middle = (start + end) / 2
            inside = [min(range(len(times)), key=lambda i: abs(times[i] - middle))]
        every = min(count, len(inside))
        ends = [*offsets[1:], strip["size_bytes"]]
        shown = [inside[(2 * k + 1) * len(inside) // (2 * every)] for k in range(every)]
        return [self._read(strip["path"], offsets[i], ends[i] - offsets[i]) for i in shown]

    def _read(self, path: str, start: int, size: int) -> bytes:
        if not 0 < size <= _MAX_JPEG_BYTES:
            return b""
        try:
            return self._reader.history.store.read(path, start, size)
        except FileNotFoundError:
            return b""


def _open(jpeg: bytes, pixels: int) -> Any:
    """A still in RGB with at most `pixels` on its longer side; None if the bytes are not an image."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(jpeg), formats=["JPEG"]) as image:
            ratio = min(1.0, pixels / max(image.size))
            size = (max(1, round(image.width * ratio)), max(1, round(image.height * ratio)))
            image.draft("RGB", size)  # the decoder scales by 1/2, 1/4 or 1/8, which costs least
            image.thumbnail(size, Image.Resampling.BILINEAR)
            return image.convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None


def _webp(images: Sequence[Any]) -> str:
    """One or several images as base64 of a WebP; several are played again and again."""
    if not images:
        return ""
    out = io.BytesIO()
    several = {"save_all": True, "append_images": images[1:], "duration": _FRAME_MS, "loop": 0}
    images[0].save(out, "WEBP", quality=_QUALITY, method=0, **(several if len(images) > 1 else {}))
    return base64.b64encode(out.getvalue()).decode()
