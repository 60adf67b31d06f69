"""The picture of a cut clip: which part of the source it shows, and at which size."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import NamedTuple

from pipeline import Reject
from stages.media.aspect_ratio import parse_ratio
from stages.media.decoding.crop import NO_CROP, Crop, Cropper
from stages.media.decoding.frame import Frame
from stages.media.decoding.orientation import MIRRORED
from stages.shards.bucket import bucket_size, matching_ratio, reached_resolution

TO_BUCKET = ("none", "shrink", "crop")


class Rectangle(NamedTuple):
    """A part of an upright picture, in px."""

    x: int
    y: int
    width: int
    height: int

    def centered(self, aspect: float) -> "Rectangle":
        """The largest part of this aspect ratio, with the same center and even sides."""
        width = min(self.width, 2 * round(self.height * aspect / 2))
        height = min(self.height, 2 * round(self.width / aspect / 2))
        x, y = (self.width - width) // 4 * 2, (self.height - height) // 4 * 2
        return Rectangle(self.x + x, self.y + y, width, height)


class TargetSize(NamedTuple):
    """The size that clips shall have. The fields are settings of `CutClip` with the same names."""

    width_px: int = 0
    height_px: int = 0
    max_short_side_px: int = 0
    to_bucket: str = "none"
    resolutions: Sequence[int] = ()
    aspect_ratios: Sequence[str] = ()
    aspect_tolerance: float = 0.0

    def apply(self, source: Rectangle) -> tuple[Rectangle, tuple[int, int]]:
        """The part of the source that is shown, and width and height of the clip.

        Nothing is enlarged, except that a crop to a bucket makes up for what it takes from the short side.

        Args:
            source: The picture without its borders.
        """
        shown = source
        if self.width_px and self.height_px:
            shown = source.centered(self.width_px / self.height_px)
            if self.width_px <= shown.width and self.height_px <= shown.height:
                return shown, (self.width_px, self.height_px)
            return shown, (shown.width, shown.height)
        short = min(source.width, source.height)
        limits = (
            (self.width_px, source.width), (self.height_px, source.height), (self.max_short_side_px, short)
        )  # fmt: skip
        scale = min([Fraction(1), *(Fraction(_even(limit), side) for limit, side in limits if limit)])
        if self.to_bucket == "none":
            return source, scaled_size(source, scale)
        resolution = reached_resolution(int(short * scale), self.resolutions)
        if self.to_bucket == "crop" and resolution:
            ratio = matching_ratio(source.width, source.height, self.aspect_ratios, self.aspect_tolerance)
            if ratio:
                return source.centered(parse_ratio(ratio)), bucket_size(resolution, ratio)
        return source, scaled_size(source, Fraction(resolution, short) if resolution else scale)


def _even(limit: int) -> int:
    """The largest even side within a limit in px, but at least 2."""
    return max(2, limit // 2 * 2)


def scaled_size(picture: Rectangle, scale: Fraction) -> tuple[int, int]:
    """Width and height after scaling, both even. At scale 1 both stay; the encoder drops an odd line."""
    if scale == 1:
        return picture.width, picture.height
    return max(2, round(picture.width * scale / 2) * 2), max(2, round(picture.height * scale / 2) * 2)


def picture_of(frame: Frame, crop: Sequence[int | None]) -> Rectangle:
    """The picture of a frame: the crop x, y, width and height of its row, or all of it.

    Raises:
        Reject: The crop is not inside the frame.
    """
    width, height = frame.display_size
    x, y, crop_width, crop_height = crop
    if x is None or y is None or crop_width is None or crop_height is None:
        return Rectangle(0, 0, width, height)
    inside = min(x, y) >= 0 < min(crop_width, crop_height) and x + crop_width <= width
    if not inside or y + crop_height > height:
        raise Reject(
            f"the crop of {crop_width} x {crop_height} px at {x}, {y} is not inside the picture of "
            f"{width} x {height} px"
        )
    return Rectangle(x, y, crop_width, crop_height)


def coded_crop(frame: Frame, shown: Rectangle) -> Crop:
    """What to crop of a coded frame, before it is turned, so that this part of it is shown.

    Offsets and sides are even in coded pixels, as 4:2:0 needs, and never outside of the part.
    """
    width, height = frame.display_size
    if shown == (0, 0, width, height):
        return NO_CROP
    x, y, inner_width, inner_height = shown
    for _ in range(frame.orientation % MIRRORED):  # undo a quarter turn counterclockwise
        x, y, inner_width, inner_height = height - y - inner_height, x, inner_height, inner_width
        width, height = height, width
    if frame.orientation >= MIRRORED:
        x = width - x - inner_width
    stretch = Fraction(frame.raw.width, width)  # coded over displayed, where pixels are not square
    left, right = -(-x * stretch // 2) * 2, (x + inner_width) * stretch // 2 * 2
    top, bottom = -(-y // 2) * 2, (y + inner_height) // 2 * 2
    return Crop(int(left), frame.raw.width - int(right), top, frame.raw.height - bottom)


def cropped(frames: Iterable[Frame], crop: Crop) -> Iterator[Frame]:
    """The frames without what is cropped."""
    cropper = Cropper(crop)
    for frame in frames:
        yield replace(frame, raw=cropper.apply(frame.raw))
