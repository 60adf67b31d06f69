"""Reads the quantizer step of a frame: from side data of FFmpeg's decoder, or from the tables of a JPEG."""

import math
import struct
from typing import TYPE_CHECKING

import numpy as np

from stages.media.decoding.side_data import get_side_data

if TYPE_CHECKING:
    import av

DECODER_OPTIONS = {"export_side_data": "venc_params"}  # decoder options that export the quantizers
_HEAD = struct.Struct("@IQQii")  # AVVideoEncParams: blocks, offset and size of the first one, type, quantizer
_VP9, _H264, _MPEG = 0, 1, 2  # AV_VIDEO_ENC_PARAMS_VP9, _H264, _MPEG2
_TABLES, _SCAN = 0xDB, 0xDA  # markers of JPEG: quantization tables, start of the pixels
_LOW_FREQUENCIES = range(1, 10)  # of a table in zigzag order, without the mean of the block


def mean_quantizer_step(raw: "av.VideoFrame") -> float:
    """Return the mean over the blocks of the step to which coefficients were rounded, in levels of 0 … 255.

    The step refers to orthonormal transforms of luma. In H.264 it is 1 at quantizer 4 and doubles every 6
    quantizers. In MPEG-4 and MPEG-2 it is twice the quantizer. In VP9 it is looked up. NaN for other codecs,
    or if the decoder did not export it.
    """
    side_data = get_side_data(raw, "VIDEO_ENC_PARAMS")
    if side_data is None:
        return math.nan
    data = bytes(side_data)
    count, first, size, scale, base = _HEAD.unpack_from(data)
    if scale not in (_VP9, _H264, _MPEG) or not (count or scale == _VP9):
        return math.nan
    if scale == _VP9:
        return _vp9_step(base)
    blocks = np.frombuffer(data, np.uint8, count * size, first).reshape(count, size)
    quantizers = (
        base + np.ascontiguousarray(blocks[:, -4:]).view(np.int32).ravel()
    )  # AVVideoBlockParams.delta_qp
    if scale == _MPEG:
        return float(2.0 * quantizers.mean())
    extra = 6 * (raw.format.components[0].bits - 8)
    return float(np.exp2((quantizers - extra - 4) / 6).mean())


def _vp9_step(index: int) -> float:
    """Return the step of a quantizer index of VP9, which scales its transforms by 8, within a tenth.

    The table of VP9 is linear in pieces, and grows by 1.9 % per index above 121.
    """
    if index > 121:
        return 154 / 8 * 1.0186 ** (index - 121)
    return float(np.interp(index, (0, 1, 95, 121), (4, 8, 102, 154))) / 8


def jpeg_quantizer_step(jpeg: bytes) -> float:
    """Return the mean step of the nine lowest frequencies of luma in a JPEG, in levels of 0 … 255.

    NaN if the data hold no quantization table.
    """
    at = 2
    while at + 5 <= len(jpeg) and jpeg[at] == 0xFF and jpeg[at + 1] != _SCAN:
        length = int.from_bytes(jpeg[at + 2 : at + 4], "big")
        if jpeg[at + 1] == _TABLES and not jpeg[at + 4] & 15:  # table 0, which is that of luma, comes first
            table = jpeg[at + 5 : at + 2 + length]
            depth = 2 if jpeg[at + 4] >> 4 else 1
            steps = [int.from_bytes(table[k * depth : (k + 1) * depth], "big") for k in _LOW_FREQUENCIES]
            return sum(steps) / len(steps)
        at += 2 + length
    return math.nan
