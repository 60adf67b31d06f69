"""A decoded frame: its exact time, and its pixels in the layouts that meters and writers need."""

import math
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from stages.media.decoding.color import MAX_CD_M2, differs_from_bt709, is_hdr, matrix_of, to_sdr
from stages.media.decoding.orientation import rotate_upright
from stages.media.decoding.quantizer import mean_quantizer_step
from stages.media.decoding.side_data import get_side_data

if TYPE_CHECKING:
    import av
    from av.video.reformatter import VideoReformatter


class PictureFormat(NamedTuple):
    """What all frames of a clip have in common; a player switches where it changes.

    Attributes:
        width_px: Width of the frame in pixels, after the crop of the container.
        height_px: Height of the frame in pixels, after the crop of the container.
        sample_aspect: Width of a pixel divided by its height.
        is_hdr: Whether the transfer function is PQ or HLG.
    """

    width_px: int
    height_px: int
    sample_aspect: Fraction
    is_hdr: bool

    def __str__(self) -> str:
        aspect = f", pixel aspect {self.sample_aspect}" if self.sample_aspect != 1 else ""
        return f"{self.width_px} x {self.height_px} px{aspect}{', HDR' if self.is_hdr else ''}"


@dataclass(frozen=True)
class Frame:
    """One decoded frame.

    Attributes:
        pts: Presentation time in ticks of the time base of the video.
        duration: Duration in ticks.
        orientation: Quarter turns counterclockwise that put the frame upright; plus 4 if it is mirrored
            first.
        raw: The frame of PyAV.
        scalers: Cache of scalers, shared by the frames of a video.
        sample_aspect: Width of a pixel divided by its height.
        is_after_jump: Whether the clock of the file jumps before this frame, or no frame is shown for so long
            that it is not the same recording.
        peak_cd_m2: Light that tone mapping turns into white, if the transfer function is PQ.
        packet_quantizer_step: Quantizer step that the packet of a Motion JPEG frame states; NaN otherwise.
    """

    pts: int
    duration: int
    orientation: int
    raw: "av.VideoFrame"
    scalers: "dict[object, VideoReformatter]" = field(default_factory=dict, repr=False, compare=False)
    sample_aspect: Fraction = Fraction(1)
    is_after_jump: bool = False
    packet_quantizer_step: float = math.nan
    peak_cd_m2: float = MAX_CD_M2

    @property
    def quantizer_step(self) -> float:
        """Step to which the codec rounded luma, in levels of 0 to 255; NaN if it does not report it."""
        step = self.packet_quantizer_step
        return step if math.isfinite(step) else mean_quantizer_step(self.raw)

    @cached_property
    def picture_format(self) -> PictureFormat:
        """Size, pixel aspect and dynamic range."""
        return PictureFormat(self.raw.width, self.raw.height, self.sample_aspect, is_hdr(self.raw))

    @property
    def display_size(self) -> tuple[int, int]:
        """Width and height in pixels as displayed: after crop, sample aspect ratio and rotation."""
        width, height = max(1, round(self.raw.width * self.sample_aspect)), self.raw.height
        return (height, width) if self.orientation % 2 else (width, height)

    def pixels(
        self, layout: str = "rgb24", width: int = 0, height: int = 0, interpolation: str = "AREA"
    ) -> npt.NDArray[np.uint8]:
        """Return the upright image: uint8 [h w 3], [h w 4] for the layout "rgba", or [h w] for "gray".

        HDR is tone-mapped, and colors of BT.2020 and P3 are converted to BT.709.

        Args:
            layout: "rgb24", "bgr24", "rgba" or "gray".
            width: Width of the result in pixels; 0 keeps the coded width.
            height: Height of the result in pixels; 0 keeps the coded height. The coded size is not corrected
                for the sample aspect ratio.
            interpolation: Interpolation of swscale if the size changes: "AREA", "BILINEAR", "BICUBIC" …
        """
        return rotate_upright(self.pixels_view(layout, width, height, interpolation), self.orientation).copy()

    def pixels_view(
        self, layout: str, width: int = 0, height: int = 0, interpolation: str = "AREA"
    ) -> npt.NDArray[np.uint8]:
        """Return the pixels as `pixels` does, but not turned upright, as a read-only view without a copy."""
        coded_width, coded_height = (height, width) if self.orientation % 2 else (width, height)
        size = coded_width or self.raw.width, coded_height or self.raw.height
        source = self.raw
        if differs_from_bt709(source):
            source = (
                self._full_sdr if size == (source.width, source.height) else self._sdr(*size, interpolation)
            )
        scaler = self._scaler(layout, size, interpolation)
        scaled = scaler.reformat(
            source, *size, layout, src_colorspace=matrix_of(source), interpolation=interpolation, threads=1
        )
        depth, plane = {"gray": 1, "rgba": 4}.get(layout, 3), scaled.planes[0]
        strides = (plane.line_size, depth, 1)
        image: npt.NDArray[np.uint8] = np.ndarray(
            (scaled.height, scaled.width, depth), np.uint8, memoryview(plane), strides=strides
        )
        return image[..., 0] if depth == 1 else image

    def luma(self) -> npt.NDArray[np.uint8]:
        """Return luma as coded, uint8 [h w], not turned; without a copy if samples have 8 bits.

        HDR is tone-mapped.
        """
        if (
            not self.raw.format.name.startswith(("yuv4", "yuvj4", "nv12", "gray"))
            or any(part.bits != 8 for part in self.raw.format.components)
            or is_hdr(self.raw)
        ):
            return self.pixels_view("gray")
        plane = self.raw.planes[0]
        return np.ndarray(
            (plane.height, plane.width), np.uint8, memoryview(plane), strides=(plane.line_size, 1)
        )

    @cached_property
    def _full_sdr(self) -> "av.VideoFrame":
        return self._sdr(self.raw.width, self.raw.height, "BICUBIC")

    def _sdr(self, width: int, height: int, interpolation: str) -> "av.VideoFrame":
        scaler = self._scaler("sdr", (width, height), interpolation)
        return to_sdr(self.raw, width, height, scaler, interpolation, self.peak_cd_m2)

    def _scaler(self, layout: str, size: tuple[int, int], interpolation: str) -> "VideoReformatter":
        """Return the scaler of a conversion, which is expensive to create."""
        from av.video.reformatter import VideoReformatter

        key = self.raw.format.name, self.raw.width, self.raw.height, layout, size, interpolation
        if key not in self.scalers:
            self.scalers[key] = VideoReformatter()
        return self.scalers[key]

    def motion_vectors(self) -> npt.NDArray[np.void] | None:
        """Return the motion vectors of the codec as a structured array of FFmpeg's AVMotionVector, or None.

        Requires a video opened with `motion_vectors=True`.
        """
        side_data = get_side_data(self.raw, "MOTION_VECTORS")
        return None if side_data is None else side_data.to_ndarray()  # type: ignore[attr-defined]
