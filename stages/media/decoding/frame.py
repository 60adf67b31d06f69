"""A decoded frame: its exact time, and its pixels in the layouts that meters and writers need."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from stages.media.decoding.orientation import rotate_upright
from stages.media.decoding.side_data import get_side_data

if TYPE_CHECKING:
    import av
    from av.video.reformatter import VideoReformatter


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
    """

    pts: int
    duration: int
    orientation: int
    raw: "av.VideoFrame"
    scalers: "dict[object, VideoReformatter]" = field(default_factory=dict, repr=False, compare=False)

    def pixels(
        self, layout: str = "rgb24", width: int = 0, height: int = 0, interpolation: str = "AREA"
    ) -> npt.NDArray[np.uint8]:
        """Return the upright image: uint8 [h w 3], or [h w] for the layout "gray".

        Args:
            layout: "rgb24", "bgr24" or "gray".
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
        from av.video.reformatter import VideoReformatter

        coded_width, coded_height = (height, width) if self.orientation % 2 else (width, height)
        scaler = self.scalers.setdefault(
            (layout, (coded_width, coded_height), interpolation), VideoReformatter()
        )  # expensive to create
        scaled = scaler.reformat(
            self.raw,
            coded_width or None,
            coded_height or None,
            layout,
            interpolation=interpolation,
            threads=1,
        )
        depth, plane = 1 if layout == "gray" else 3, scaled.planes[0]
        strides = (plane.line_size, depth, 1)
        image: npt.NDArray[np.uint8] = np.ndarray(
            (scaled.height, scaled.width, depth), np.uint8, memoryview(plane), strides=strides
        )
        return image[..., 0] if depth == 1 else image

    def luma(self) -> npt.NDArray[np.uint8]:
        """Return luma as coded, uint8 [h w], not turned; without a copy if samples have 8 bits."""
        if not self.raw.format.name.startswith(("yuv4", "yuvj4", "nv12", "gray")) or any(
            part.bits != 8 for part in self.raw.format.components
        ):
            return self.pixels_view("gray")
        plane = self.raw.planes[0]
        return np.ndarray(
            (plane.height, plane.width), np.uint8, memoryview(plane), strides=(plane.line_size, 1)
        )

    def motion_vectors(self) -> npt.NDArray[np.void] | None:
        """Return the motion vectors of the codec as a structured array of FFmpeg's AVMotionVector, or None.

        Requires a video opened with `motion_vectors=True`.
        """
        side_data = get_side_data(self.raw, "MOTION_VECTORS")
        return None if side_data is None else side_data.to_ndarray()  # type: ignore[attr-defined]
