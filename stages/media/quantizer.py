"""How coarsely a codec rounded a frame, as far as FFmpeg's decoder tells: the side data of its quantisers."""

import math
import struct
from typing import TYPE_CHECKING

import numpy as np

from stages.media.side_data import side_data

if TYPE_CHECKING:
    import av

ASKED = {"export_side_data": "venc_params"}  # options of a decoder that shall tell
_HEAD = struct.Struct("@IQQii")  # AVVideoEncParams: blocks, offset and size of the first one, kind, quantiser
_H264, _MPEG = 1, 2  # AV_VIDEO_ENC_PARAMS_H264, _MPEG2: the kinds whose scale is known here


def step_of(raw: "av.VideoFrame") -> float:
    """The mean over the blocks of the step to which coefficients were rounded, in levels of 255.

    Of orthonormal transforms of luma. H.264 doubles it every 6 quantisers, and from 1 at 4 on; MPEG-4 and
    -2 step by twice the quantiser. NaN for other codecs, and where the decoder was not asked.
    """
    found = side_data(raw, "VIDEO_ENC_PARAMS")
    if found is None:
        return math.nan
    data = bytes(found)  # type: ignore[call-overload]
    count, first, size, kind, base = _HEAD.unpack_from(data)
    if not count or kind not in (_H264, _MPEG):
        return math.nan
    blocks = np.frombuffer(data, np.uint8, count * size, first).reshape(count, size)
    each = base + np.ascontiguousarray(blocks[:, -4:]).view(np.int32).ravel()  # AVVideoBlockParams.delta_qp
    if kind == _MPEG:
        return float(2.0 * each.mean())
    deeper = 6 * (raw.format.components[0].bits - 8)
    return float(np.exp2((each - deeper - 4) / 6).mean())
