"""Reads and applies the crop of a container: PixelCrop of Matroska, and the clean aperture of mp4 and mov.

FFmpeg's demuxers read it too, but PyAV does not show it. H.264 and HEVC have a crop of their own, which the
decoder applies.
"""

import struct
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any, NamedTuple

from stages.media.uri import local_path

if TYPE_CHECKING:
    import av

_MAX_TABLE_BYTES = 1 << 24  # the description of the tracks; longer ones are damage
_SEGMENT, _TRACKS, _TRACK, _VIDEO, _CLUSTER = 0x18538067, 0x1654AE6B, 0xAE, 0xE0, 0x1F43B675
_TRACK_TYPE = 0x83
_PIXEL_CROPS = {0x54CC: 0, 0x54DD: 1, 0x54BB: 2, 0x54AA: 3}  # left, right, top, bottom
_MAX_BOX_BYTES = 1 << 16
_VISUAL_ENTRY_BYTES = 78  # of a VisualSampleEntry before its boxes


class Crop(NamedTuple):
    """Pixels of the coded frame that are not shown, on each side.

    Attributes:
        sample_aspect: Width of a pixel divided by its height; None if the one that FFmpeg finds is right.
    """

    left: int = 0
    right: int = 0
    top: int = 0
    bottom: int = 0
    sample_aspect: Fraction | None = None

    def fits(self, width: int, height: int) -> bool:
        """Return whether something is cropped, and something remains."""
        sides = self[:4]
        inside = min(sides) >= 0 and self.left + self.right < width and self.top + self.bottom < height
        return any(sides) and inside

    def remaining(self, width: int, height: int) -> tuple[int, int]:
        """Return width and height of the part of a coded frame that is shown."""
        if not self.fits(width, height):
            return width, height
        return width - self.left - self.right, height - self.top - self.bottom


NO_CROP = Crop()


def read_crop(file: Any, container_format: str, video_index: int) -> Crop:
    """Return the crop of a video track; none if the file is damaged or its container has no crops.

    Args:
        file: Seekable binary file.
        container_format: Name of the demuxer.
        video_index: Index of the track among the video tracks.
    """
    read = {"matroska,webm": _matroska_crops, "mov,mp4,m4a,3gp,3g2,mj2": _mp4_crops}.get(container_format)
    if read is None:
        return NO_CROP
    try:
        crops = list(read(file))
    except (
        ValueError,
        IndexError,
        ZeroDivisionError,
        OverflowError,
        struct.error,
    ):  # damaged; the demuxer decides
        return NO_CROP
    return crops[video_index] if video_index < len(crops) else NO_CROP


def _matroska_crops(file: Any) -> Iterator[Crop]:
    """Yield the crop of each video track of a Matroska file, in order."""
    at = 0
    while True:
        file.seek(at)
        head = file.read(12)
        if not head:
            return
        name, begin, size = _element(head, 0)
        if name == _TRACKS and size is not None and size <= _MAX_TABLE_BYTES:
            file.seek(at + begin)
            yield from _track_crops(file.read(size))
            return
        if name == _CLUSTER or (size is None and name != _SEGMENT):
            return
        at += begin if name == _SEGMENT else begin + (size or 0)


def _track_crops(tracks: bytes) -> Iterator[Crop]:
    for name, track in _elements(tracks):
        if name == _TRACK:
            parts = dict(_elements(track))
            if int.from_bytes(parts.get(_TRACK_TYPE, b""), "big") == 1:
                sides = [0, 0, 0, 0]
                for part, value in _elements(parts.get(_VIDEO, b"")):
                    if part in _PIXEL_CROPS:
                        sides[_PIXEL_CROPS[part]] = int.from_bytes(value, "big")
                yield Crop(sides[0], sides[1], sides[2], sides[3])


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(data):
        name, begin, size = _element(data, at)
        end = len(data) if size is None else at + begin + size
        yield name, data[at + begin : end]
        at = end


def _element(data: bytes, at: int) -> tuple[int, int, int | None]:
    """Return the id of an EBML element, the length of its head, and its size (None: unknown)."""
    id_length = 9 - data[at].bit_length()
    size_at = at + id_length
    size_length = 9 - data[size_at].bit_length()
    if id_length > 4 or size_length > 8:
        raise ValueError("no EBML element")
    limit = (1 << 7 * size_length) - 1
    size = int.from_bytes(data[size_at : size_at + size_length], "big") & limit
    name = int.from_bytes(data[at:size_at], "big")
    return name, id_length + size_length, None if size == limit else size


def _mp4_crops(file: Any) -> Iterator[Crop]:
    """Yield the crop of each video track of an mp4 or mov file, in order."""
    for name, begin, end in _boxes(file, 0, None):
        if name == b"moov":
            for part, track, track_end in _boxes(file, begin, end):
                if (
                    part == b"trak"
                    and _read(file, _path(file, track, track_end, b"mdia", b"hdlr"))[8:12] == b"vide"
                ):
                    yield _clean_aperture(file, track, track_end)
            return


def _clean_aperture(file: Any, track: int, track_end: int) -> Crop:
    """Return the crop of the first sample description of a track.

    FFmpeg takes a track's display size for the size before the crop, and derives a wrong pixel aspect from
    it, so the crop has the aspect where the track does not name one.
    """
    table, table_end = _path(file, track, track_end, b"mdia", b"minf", b"stbl", b"stsd")
    _, entry, entry_end = next(_boxes(file, table + 8, table_end), (b"", 0, 0))
    parts = {name: _read(file, span) for name, *span in _boxes(file, entry + _VISUAL_ENTRY_BYTES, entry_end)}
    if b"clap" not in parts:
        return NO_CROP
    width, height = struct.unpack_from(">2H", _read(file, (entry, entry_end)), 24)
    numbers = struct.unpack_from(">8i", parts[b"clap"])
    shown_width, shown_height, right, down = (Fraction(*numbers[k : k + 2]) for k in range(0, 8, 2))
    left, top = round((width - shown_width) / 2 + right), round((height - shown_height) / 2 + down)
    display = struct.unpack_from(">2I", _read(file, _path(file, track, track_end, b"tkhd"))[-8:])
    aspect = None
    if b"pasp" not in parts and all(display):
        aspect = Fraction(display[0], display[1]) / (shown_width / shown_height)
    return Crop(left, width - left - round(shown_width), top, height - top - round(shown_height), aspect)


def _boxes(file: Any, at: int, end: int | None) -> Iterator[tuple[bytes, int, int]]:
    """Yield the boxes of a span of the file: name, and first and last byte of the content."""
    while end is None or at + 8 <= end:
        file.seek(at)
        head = file.read(16)
        if len(head) < 8:
            return
        size, begin = int.from_bytes(head[:4], "big"), at + 8
        if size == 1:
            size, begin = int.from_bytes(head[8:], "big"), at + 16
        if size < begin - at:
            return
        at += size
        yield head[4:8], begin, at


def _path(file: Any, begin: int, end: int, *names: bytes) -> tuple[int, int]:
    """Return the span of the content of a box in boxes; an empty span if there is none."""
    for name in names:
        begin, end = next((box[1:] for box in _boxes(file, begin, end) if box[0] == name), (0, 0))
    return begin, end


def _read(file: Any, span: Sequence[int]) -> bytes:
    file.seek(span[0])
    data: bytes = file.read(max(0, min(span[1] - span[0], _MAX_BOX_BYTES)))
    return data


class Cropper:
    """Crops frames without copying them; the cropped frames keep times, side data and tags.

    Attributes:
        crop: What is cropped.
    """

    def __init__(self, crop: Crop) -> None:
        self.crop = crop
        self._graph: av.filter.Graph | None = None
        self._format = (0, 0, "")

    def apply(self, raw: "av.VideoFrame") -> "av.VideoFrame":
        """Return the part of a frame that is shown."""
        import av

        if not self.crop.fits(raw.width, raw.height):
            return raw
        frame_format = raw.width, raw.height, raw.format.name
        if self._graph is None or frame_format != self._format:
            width, height = self.crop.remaining(raw.width, raw.height)
            self._graph, self._format = av.filter.Graph(), frame_format
            source = self._graph.add_buffer(
                width=raw.width, height=raw.height, format=raw.format, time_base=raw.time_base
            )
            crop = self._graph.add("crop", f"{width}:{height}:{self.crop.left}:{self.crop.top}:exact=1")
            self._graph.link_nodes(source, crop, self._graph.add("buffersink")).configure()
        self._graph.vpush(raw)
        return self._graph.vpull()


def container_cropper(
    uri: str, file: Any, container: "av.container.InputContainer", stream: "av.VideoStream"
) -> Cropper:
    """Return a cropper for a stream. `file` is the file object below the container, None for a local file."""
    index = [other.index for other in container.streams.video].index(stream.index)
    if file is not None:
        position = file.tell()
        crop = read_crop(file, container.format.name, index)
        file.seek(position)  # where FFmpeg assumes it
        return Cropper(crop)
    with open(local_path(uri) or uri, "rb") as local:
        return Cropper(read_crop(local, container.format.name, index))
