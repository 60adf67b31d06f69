"""The strip of a video: stills as JPEGs, concatenated in one file and located by their offsets."""

from bisect import bisect_left
from collections.abc import Sequence
from typing import NamedTuple, Protocol, cast

import numpy as np
import numpy.typing as npt

from manifests import Artifact, Row

CROPPED_QUALITY = 95  # JPEG quality of stills that are cropped


class HasStrip(Protocol):
    """A row with a strip.

    Attributes:
        strip: The file of concatenated JPEGs.
        strip_times_s: Time of each still in seconds since the first frame, ascending.
        strip_offsets: Offset of each still in the file in bytes.
    """

    @property
    def strip(self) -> Artifact: ...
    @property
    def strip_times_s(self) -> Sequence[float]: ...
    @property
    def strip_offsets(self) -> Sequence[int]: ...


class CroppedStills(Row):
    """Columns of a clip that has borders: the picture inside them, and the size of the whole image, in px.

    A stage whose row inherits them gets stills without the borders from `read_strip`.
    """

    crop_x_px: int | None = None
    crop_y_px: int | None = None
    crop_width_px: int | None = None
    crop_height_px: int | None = None
    width_px: int | None = None
    height_px: int | None = None

    def crop_shares(self) -> tuple[float, float, float, float] | None:
        """Left, top, right and bottom edge of the picture as shares of the image; None without borders."""
        if not (self.crop_width_px and self.crop_height_px and self.width_px and self.height_px):
            return None
        if (self.crop_width_px, self.crop_height_px) == (self.width_px, self.height_px):
            return None
        x, y = self.crop_x_px or 0, self.crop_y_px or 0
        right, bottom = x + self.crop_width_px, y + self.crop_height_px
        return x / self.width_px, y / self.height_px, right / self.width_px, bottom / self.height_px


class Still(NamedTuple):
    """A still of a strip: its time in seconds since the first frame, and its JPEG bytes."""

    time_s: float
    jpeg: bytes


def read_strip(
    row: HasStrip, start_s: float = 0.0, end_s: float = float("inf"), max_stills: int = 0
) -> list[Still]:
    """Return the stills with start_s <= time < end_s in order; an empty list if the span contains none.

    Args:
        row: The row with the strip.
        start_s: Start of the span in seconds since the first frame.
        end_s: End of the span in seconds.
        max_stills: Maximum number of stills, spread evenly; 0 returns all.

    Stills of a row with `CroppedStills` show the picture inside the borders.
    """
    times = row.strip_times_s
    first, last = bisect_left(times, start_s), bisect_left(times, end_s)
    if first >= last:
        return []
    count = last - first
    if 0 < max_stills < count:
        chosen = [first + (2 * k + 1) * count // (2 * max_stills) for k in range(max_stills)]
    else:
        chosen = list(range(first, last))
    ends = [*row.strip_offsets[1:], row.strip.size_bytes]
    begin = row.strip_offsets[chosen[0]]
    data = row.strip.read_range(begin, ends[chosen[-1]] - begin)
    stills = [Still(times[k], data[row.strip_offsets[k] - begin : ends[k] - begin]) for k in chosen]
    shares = row.crop_shares() if isinstance(row, CroppedStills) else None
    return [_crop(still, shares) for still in stills] if shares else stills


def _crop(still: Still, shares: tuple[float, float, float, float]) -> Still:
    """The still without its borders, as a JPEG of high quality."""
    inside = crop_image(decode_still(still), shares)
    return still._replace(jpeg=encode_jpeg(np.ascontiguousarray(inside[..., ::-1]), CROPPED_QUALITY))


def crop_image(
    image: npt.NDArray[np.uint8], shares: tuple[float, float, float, float]
) -> npt.NDArray[np.uint8]:
    """Crop an image [h w 3] as `crop_pixels` does, without a copy."""
    return np.moveaxis(crop_pixels(np.moveaxis(image, 2, 0), shares), 0, 2)


def crop_pixels(
    images: npt.NDArray[np.uint8], shares: tuple[float, float, float, float]
) -> npt.NDArray[np.uint8]:
    """Crop images [… h w] to the part between these edges: left, top, right and bottom, as shares."""
    height, width = images.shape[-2:]
    left, top, right, bottom = (
        round(share * side) for share, side in zip(shares, (width, height, width, height), strict=True)
    )
    return images[..., top : max(bottom, top + 1), left : max(right, left + 1)]


def decode_still(still: Still) -> npt.NDArray[np.uint8]:
    """Decode a still to uint8 RGB [h w 3]."""
    return decode_jpeg(still.jpeg)


def decode_jpeg(jpeg: bytes) -> npt.NDArray[np.uint8]:
    """Decode a JPEG to uint8 RGB [h w 3]."""
    import cv2

    image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR_RGB)
    return cast("npt.NDArray[np.uint8]", image)


def encode_jpeg(image: npt.NDArray[np.uint8], quality: int) -> bytes:
    """Encode an image, uint8 BGR [h w 3], as JPEG with a quality of 1 … 100."""
    import cv2

    ok, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not ok:
        raise ValueError(f"an image of shape {image.shape} cannot be encoded as JPEG")
    return bytes(data)
