"""Reads the quantizer step of a frame from the side data that FFmpeg's decoder exports."""

import math
import struct
from typing import TYPE_CHECKING

import numpy as np

from stages.media.decoding.side_data import get_side_data

if TYPE_CHECKING:
    import av

DECODER_OPTIONS = {"export_side_data": "venc_params"}  # decoder options that export the quantizers
_HEAD = struct.Struct("@IQQii")  # AVVideoEncParams: blocks, offset and size of the first one, type, quantizer
_H264, _MPEG = 1, 2  # AV_VIDEO_ENC_PARAMS_H264, _MPEG2: the types whose scale this module knows


def mean_quantizer_step(raw: "av.VideoFrame") -> float:
    """Return the mean over the blocks of the step to which coefficients were rounded, in levels of 0 … 255.

    The step refers to orthonormal transforms of luma. In H.264 it is 1 at quantizer 4 and doubles every 6
    quantizers. In MPEG-4 and MPEG-2 it is twice the quantizer. NaN for other codecs, or if the decoder did
    not export it.
    """
    side_data = get_side_data(raw, "VIDEO_ENC_PARAMS")
    if side_data is None:
        return math.nan
    data = bytes(side_data)
    count, first, size, scale, base = _HEAD.unpack_from(data)
    if not count or scale not in (_H264, _MPEG):
        return math.nan
    blocks = np.frombuffer(data, np.uint8, count * size, first).reshape(count, size)
    quantizers = (
        base + np.ascontiguousarray(blocks[:, -4:]).view(np.int32).ravel()
    )  # AVVideoBlockParams.delta_qp
    if scale == _MPEG:
        return float(2.0 * quantizers.mean())
    extra = 6 * (raw.format.components[0].bits - 8)
    return float(np.exp2((quantizers - extra - 4) / 6).mean())
