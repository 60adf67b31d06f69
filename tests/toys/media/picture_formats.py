"""Writes films with a crop in the container, and films whose size or pixel aspect changes midway."""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

_MP4_PATH = [b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd"]


def write_parts(
    path: Path,
    parts: Sequence[tuple[Iterable[npt.NDArray[np.uint8]], Fraction]],
    codec: str = "libx264",
    layout: str = "yuv420p",
) -> None:
    """Write RGB images at 25 frames per second as MPEG-TS: each part has a size and a pixel aspect."""
    import av

    data, number = b"", 0
    for images, aspect in parts:
        with av.open(f"file:{path}", "w", format="mpegts") as container:
            stream: Any = container.add_stream(codec, rate=25, options={"g": "250", "bf": "2"})
            stream.pix_fmt, stream.codec_context.thread_count = layout, 1
            stream.sample_aspect_ratio = stream.codec_context.sample_aspect_ratio = aspect
            pictures = list(images)
            stream.height, stream.width = pictures[0].shape[:2]
            for image in pictures:
                frame = av.VideoFrame.from_ndarray(image, format="rgb24")
                frame.pts, frame.time_base, number = number, Fraction(1, 25), number + 1
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        data += path.read_bytes()
    path.write_bytes(data)


def with_pixel_crop(
    mkv: bytes, left: int, right: int, top: int, bottom: int, display: Sequence[int] = ()
) -> bytes:
    """The Matroska file with PixelCrop elements, and DisplayWidth and DisplayHeight, in its video track."""
    sides = {"54cc": left, "54dd": right, "54bb": top, "54aa": bottom}
    sides |= dict(zip(("54b0", "54ba"), display, strict=False)) | ({"54b2": 0} if display else {})
    return _with_elements(mkv, b"".join(_element(name, n.to_bytes(2, "big")) for name, n in sides.items()))


def _with_elements(data: bytes, added: bytes) -> bytes:
    out, at = b"", 0
    while at < len(data):
        name, begin, end = _head(data, at)
        body, at = data[begin:end], end
        if name in ("18538067", "1654ae6b", "ae"):  # segment, tracks, track
            body = _with_elements(body, added)
        elif name == "e0":  # video; the unit of the display size that says "unknown" is left out
            body = body.replace(bytes.fromhex("54b28104"), b"") + added
        elif name in ("114d9b74", "1c53bb6b", "ec", "bf", "1254c367"):  # positions, checksums, padding
            continue
        out += _element(name, body)
    return out


def _element(name: str, body: bytes) -> bytes:
    return bytes.fromhex(name) + (len(body) | 1 << 56).to_bytes(8, "big") + body


def _head(data: bytes, at: int) -> tuple[str, int, int]:
    """Return the id of an element, and where its content begins and ends."""
    begin = at + 9 - data[at].bit_length()
    name, length = data[at:begin].hex(), 9 - data[begin].bit_length()
    size = int.from_bytes(data[begin : begin + length], "big") & (1 << 7 * length) - 1
    at = begin + length
    return name, at, len(data) if size == (1 << 7 * length) - 1 else at + size


def with_clean_aperture(mp4: bytes, width: int, height: int, right: int = 0, down: int = 0) -> bytes:
    """The mp4 (index last) with a clean aperture, shifted from the middle, and its size as display size."""
    numbers = (width, 1, height, 1, right, 1, down, 1)
    clap = (40).to_bytes(4, "big") + b"clap" + b"".join(n.to_bytes(4, "big", signed=True) for n in numbers)
    data = bytearray(mp4)
    at, end, heads = 0, len(mp4), []
    for name in _MP4_PATH:
        while data[at + 4 : at + 8] != name:
            at += int.from_bytes(data[at : at + 4], "big")
            assert at < end, name
        heads.append(at)
        at += 8
    entry = at + 8
    heads.append(entry)
    insert = entry + int.from_bytes(data[entry : entry + 4], "big")
    display = data.index(b"tkhd") + 80
    data[display : display + 8] = (width << 16).to_bytes(4, "big") + (height << 16).to_bytes(4, "big")
    pasp = data.find(b"pasp", entry, insert)
    if pasp >= 0:
        data[pasp : pasp + 4] = b"free"
    for head in heads:
        size = int.from_bytes(data[head : head + 4], "big") + len(clap)
        data[head : head + 4] = size.to_bytes(4, "big")
    return bytes(data[:insert] + clap + data[insert:])
