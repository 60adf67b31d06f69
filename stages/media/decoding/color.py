"""Names the color tags of frames, and converts HDR and wide-gamut frames to SDR with BT.709 primaries.

PQ and HLG are tone-mapped with the curve of Report ITU-R BT.2390 (section 5.4.1), applied to R, G and B.
Diffuse white, 203 cd/m2 (Report ITU-R BT.2408), is the peak of the result. The curve keeps what is darker
than about 90 cd/m2, if the peak is 1000, and compresses what is brighter, up to the peak of PQ or HLG.
"""

from functools import cache, lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import av
    from av.video.reformatter import VideoReformatter

UNKNOWN, BT709, BT2020, P3, PQ, HLG, FULL = 2, 1, 9, 12, 16, 18, 2  # values of the enums of FFmpeg
_TRANSFERS = {
    1: "bt709", 4: "bt470m", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 8: "linear", 9: "log100",
    10: "log316", 11: "iec61966-2-4", 12: "bt1361e", 13: "iec61966-2-1", 14: "bt2020-10", 15: "bt2020-12",
    16: "smpte2084", 17: "smpte428", 18: "arib-std-b67",
}  # fmt: skip
_PRIMARIES = {
    1: "bt709", 4: "bt470m", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 8: "film", 9: "bt2020",
    10: "smpte428", 11: "smpte431", 12: "smpte432", 22: "ebu3213",
}  # fmt: skip
_MATRICES = {
    0: "gbr", 1: "bt709", 4: "fcc", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 8: "ycgco", 9: "bt2020nc",
    10: "bt2020c", 11: "smpte2085", 12: "chroma-derived-nc", 13: "chroma-derived-c", 14: "ictcp",
    15: "ipt-c2", 16: "ycgco-re", 17: "ycgco-ro",
}  # fmt: skip
_RANGES = {1: "tv", 2: "pc"}

WHITE_CD_M2 = 203.0  # diffuse white of PQ, and the peak of the result
MAX_CD_M2 = 1000.0  # peak of PQ without metadata; brighter light becomes white
_HLG_WHITE = 0.75  # HLG signal of diffuse white
_TO_BT709 = {  # linear RGB of these primaries to linear RGB of BT.709; all have the white of D65
    BT709: ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
    BT2020: (
        (1.660491, -0.587641, -0.072850),
        (-0.124550, 1.132900, -0.008349),
        (-0.018151, -0.100579, 1.118730),
    ),
    P3: (
        (1.224940, -0.224940, 0.0),
        (-0.042057, 1.042057, 0.0),
        (-0.019638, -0.078636, 1.098274),
    ),
}
_LEVELS = 65535
_BAND_PX = 1 << 16  # pixels converted at a time, so that they stay in the cache of the processor


class ColorTags(NamedTuple):
    """The color tags of a frame, by the names that ffprobe prints; "unknown" where the stream has no tag."""

    color_transfer: str
    color_primaries: str
    color_space: str
    color_range: str


def color_tags(raw: "av.VideoFrame") -> ColorTags:
    """Return the color tags of a frame."""
    return ColorTags(
        transfer_name(raw.color_trc),
        _PRIMARIES.get(raw.color_primaries, "unknown"),
        _MATRICES.get(raw.colorspace, "unknown"),
        "pc" if raw.format.name.startswith("yuvj") else _RANGES.get(raw.color_range, "unknown"),
    )


def transfer_name(transfer: int) -> str:
    """Return the name of a transfer function (AVColorTransferCharacteristic), as ffprobe prints it."""
    return _TRANSFERS.get(transfer, "unknown")


def bit_depth(raw: "av.VideoFrame") -> int:
    """Return the number of bits of a sample of the first component."""
    return int(raw.format.components[0].bits)


def is_hdr(raw: "av.VideoFrame") -> bool:
    """Return whether the transfer function of a frame is PQ (SMPTE ST 2084) or HLG (ARIB STD-B67)."""
    return raw.color_trc in (PQ, HLG)


def differs_from_bt709(raw: "av.VideoFrame") -> bool:
    """Return whether the frame needs `to_sdr`: it is HDR, or its primaries are BT.2020 or P3."""
    return is_hdr(raw) or raw.color_primaries in (BT2020, P3)


def matrix_of(raw: "av.VideoFrame") -> int | None:
    """Return the YCbCr matrix (AVColorSpace) of a frame, or None for RGB and for the default, BT.601.

    A frame without a tag has BT.709 if it is wider than 1279 px or higher than 576 px, as players assume.
    """
    if raw.format.is_rgb:
        return None
    if raw.colorspace != UNKNOWN:
        return int(raw.colorspace)
    return BT709 if raw.width >= 1280 or raw.height > 576 else None


def to_sdr(
    raw: "av.VideoFrame",
    width: int,
    height: int,
    scaler: "VideoReformatter",
    interpolation: int | str,
    peak: float = MAX_CD_M2,
) -> "av.VideoFrame":
    """Scale a frame, then tone-map it to SDR: rgb24 with BT.709 primaries and the curve of sRGB.

    Light of PQ from `peak` cd/m2 on becomes white. The result does not depend on the processor.
    """
    import av

    flat = scaler.reformat(
        raw, width, height, "gbrp16le", src_colorspace=matrix_of(raw), interpolation=interpolation, threads=1
    )
    green, blue, red = (
        np.ndarray((height, width), np.uint16, memoryview(plane), strides=(plane.line_size, 2))
        for plane in flat.planes
    )
    primaries = raw.color_primaries if raw.color_primaries in _TO_BT709 else BT2020 if is_hdr(raw) else BT709
    result = np.empty((height, width, 3), np.uint8)
    lines = max(1, _BAND_PX // width)
    for top in range(0, height, lines):
        band = slice(top, top + lines)
        light = _light_table(int(raw.color_trc), peak)
        _map_band((red[band], green[band], blue[band]), light, primaries, result[band])
    mapped = av.VideoFrame.from_ndarray(result, format="rgb24")
    mapped.colorspace, mapped.color_primaries, mapped.color_trc = BT709, BT709, BT709
    return mapped


def _map_band(
    channels: tuple[npt.NDArray[np.uint16], ...],
    light: npt.NDArray[np.float32],
    primaries: int,
    result: npt.NDArray[np.uint8],
) -> None:
    """Write the sRGB values of linear channels, converted to BT.709 primaries, into `result` [h w 3]."""
    encoded = _srgb_table()
    red, green, blue = (light[channel] for channel in channels)
    matrix = np.array(_TO_BT709[primaries], np.float32) * np.float32(_LEVELS)
    for index, (r, g, b) in enumerate(matrix):
        mixed = red * r
        mixed += green * g
        mixed += blue * b
        mixed += np.float32(0.5)
        np.clip(mixed, 0, _LEVELS, out=mixed)
        result[..., index] = encoded[mixed.astype(np.uint16)]


@lru_cache(maxsize=8)
def _light_table(transfer: int, peak: float) -> npt.NDArray[np.float32]:
    """Return the tone-mapped linear light, 1 at white, for each 16-bit value of a channel."""
    signal = np.arange(_LEVELS + 1) / _LEVELS
    if transfer == PQ:
        light = compress_highlights(pq_to_light(signal), peak)
    elif transfer == HLG:
        white = float(hlg_to_light(np.array(_HLG_WHITE)))
        light = hlg_to_light(signal) / white * WHITE_CD_M2
        light = compress_highlights(light, float(light[-1]))
    else:
        return srgb_to_light(signal).astype(np.float32)
    return (light / WHITE_CD_M2).astype(np.float32)


@cache
def _srgb_table() -> npt.NDArray[np.uint8]:
    """Return the sRGB value, 0 to 255, for each of 65536 levels of linear light."""
    light = np.arange(_LEVELS + 1) / _LEVELS
    srgb = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.round(255 * srgb).astype(np.uint8)


def srgb_to_light(signal: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return linear light, 0 to 1, of sRGB values (IEC 61966-2-1)."""
    return np.where(signal <= 0.04045, signal / 12.92, ((signal + 0.055) / 1.055) ** 2.4)


_M1, _M2 = 2610 / 16384, 2523 / 4096 * 128
_C1, _C2, _C3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32


def pq_to_light(signal: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return light in cd/m2 of PQ values: the EOTF of SMPTE ST 2084."""
    power = signal ** (1 / _M2)
    return 10000 * (np.maximum(power - _C1, 0) / (_C2 - _C3 * power)) ** (1 / _M1)


def light_to_pq(light: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return PQ values of light in cd/m2: the inverse EOTF of SMPTE ST 2084."""
    power = (light / 10000) ** _M1
    return ((_C1 + _C2 * power) / (1 + _C3 * power)) ** _M2


def hlg_to_light(signal: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return scene light, 0 to 1, of HLG values: the inverse OETF of Recommendation ITU-R BT.2100.

    The system gamma of a display is 1 at 334 cd/m2, so that an SDR display shows scene light.
    """
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    return np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)


def compress_highlights(light: npt.NDArray[np.float64], peak: float) -> npt.NDArray[np.float64]:
    """Return light in cd/m2 with values up to `peak` compressed to `WHITE_CD_M2`: the EETF of BT.2390."""
    top = float(light_to_pq(np.array(peak)))
    white = float(light_to_pq(np.array(WHITE_CD_M2))) / top
    knee = 1.5 * white - 0.5
    signal = np.minimum(light_to_pq(light) / top, 1)
    t = np.maximum(signal - knee, 0) / (1 - knee)
    spline = (
        (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (-2 * t**3 + 3 * t**2) * white
    )
    return pq_to_light(np.where(signal < knee, signal, spline) * top)
