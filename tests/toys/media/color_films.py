"""Writes films of six color patches with known sRGB values, coded with a named matrix and transfer."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

PATCHES = [(200, 40, 40), (40, 180, 60), (50, 60, 200), (210, 200, 60), (128, 128, 128), (150, 150, 150)]
_LUMA_WEIGHTS = {"bt709": (0.2126, 0.0722), "bt601": (0.299, 0.114), "bt2020": (0.2627, 0.0593)}
_TAGS = {  # primaries, transfer, matrix
    "bt709": (1, 1, 1),
    "bt601": (6, 6, 6),
    "bt2020_pq": (9, 16, 9),
    "bt2020_hlg": (9, 18, 9),
    "bt2020_sdr": (9, 14, 9),
    "bt709_untagged": (2, 2, 2),
    "bt601_untagged": (2, 2, 2),
}
KINDS = tuple(_TAGS)
_BT709_TO_BT2020 = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])


def write_patches(
    path: Path, kind: str, frames: int = 4, *, height: int = 0, full_range: bool = False
) -> None:
    """Write `frames` frames of the patches side by side; diffuse white of HDR is at 203 cd/m2 or 75 %."""
    import av

    matrix = kind.partition("_")[0]
    height = height or (720 if kind == "bt709_untagged" else 96)
    width = height * 16 // 9 // 12 * 12
    is_deep = matrix == "bt2020"
    layout, sample = ("yuv420p10le", "<u2") if is_deep else ("yuv420p", "u1")
    planes = _planes(_signal(kind), matrix, 4 if is_deep else 1, full_range)
    primaries, transfer, space = _TAGS[kind]
    with av.open(f"file:{path}", "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "8", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = width, height, layout
        context = stream.codec_context
        context.thread_count = 1
        tags = {"color_primaries": primaries, "color_trc": transfer, "colorspace": space}
        tags["color_range"] = 2 if full_range else 0 if "untagged" in kind else 1
        _tag(context, tags)
        for number in range(frames):
            frame = av.VideoFrame(width, height, layout)
            _tag(frame, tags)
            for plane, values in zip(frame.planes, planes, strict=True):
                lines = np.zeros((plane.height, plane.line_size // np.dtype(sample).itemsize), sample)
                lines[:, : plane.width] = np.repeat(values, plane.width // 6)
                plane.update(lines.tobytes())
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _tag(target: object, tags: dict[str, int]) -> None:
    for name, value in tags.items():
        setattr(target, name, value)


def _signal(kind: str) -> Any:
    rgb = np.array(PATCHES) / 255
    if not kind.startswith("bt2020"):
        return rgb
    light = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4) @ _BT709_TO_BT2020.T
    if kind.endswith("pq"):
        power = (light * 203 / 10000) ** 0.1593017578125
        return ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375
    if kind.endswith("hlg"):
        light = light * 0.26496
        log = 0.17883277 * np.log(np.maximum(12 * light - 0.28466892, 1e-9)) + 0.55991073
        return np.where(light <= 1 / 12, np.sqrt(3 * light), log)
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


def _planes(signal: Any, matrix: str, scale: int, full_range: bool) -> list[npt.NDArray[np.float64]]:
    """Return the values of Y, Cb and Cr of each patch."""
    red, blue = _LUMA_WEIGHTS[matrix]
    luma = signal @ (red, 1 - red - blue, blue)
    chroma = [(signal[:, 2] - luma) / (2 * (1 - blue)), (signal[:, 0] - luma) / (2 * (1 - red))]
    if full_range:
        return [np.round(255 * luma), *(np.round(128 + 255 * c) for c in chroma)]
    return [np.round((16 + 219 * luma) * scale), *(np.round((128 + 224 * c) * scale) for c in chroma)]


def patch_colors(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """Return the color in the middle of each patch of an image [h w 3]."""
    height, width = image.shape[:2]
    return np.array([image[height // 2, width * (2 * k + 1) // 12] for k in range(6)], np.int64)


def write_hdr10(path: Path, metadata: str, key_frames: int = 2, light: int = 724) -> None:
    """Write gray PQ frames of one 10-bit level as HEVC, 6 per key frame, with parameters of x265."""
    import av

    with av.open(f"file:{path}", "w") as container:
        parameters = f"log-level=none:keyint=6:min-keyint=6:scenecut=0:pools=none:{metadata}".rstrip(":")
        options = {"x265-params": parameters, "preset": "ultrafast", "crf": "2"}
        stream: Any = container.add_stream("libx265", rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p10le"
        tags = {"color_primaries": 9, "color_trc": 16, "colorspace": 9, "color_range": 1}
        _tag(stream.codec_context, tags)
        for number in range(6 * key_frames):
            frame = av.VideoFrame(96, 64, "yuv420p10le")
            _tag(frame, tags)
            for plane, value in zip(frame.planes, (light, 512, 512), strict=True):
                plane.update(np.full(plane.height * plane.line_size // 2, value, "<u2").tobytes())
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
