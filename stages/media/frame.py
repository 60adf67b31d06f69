"""A decoded frame: its exact time, and its pixels as the meters and the writers want them."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from stages.media.orientation import upright
from stages.media.side_data import side_data

if TYPE_CHECKING:
    import av
    from av.video.reformatter import VideoReformatter


@dataclass(frozen=True)
class Frame:
    """One decoded frame. `pts` and `duration` count ticks of the video's time base."""

    pts: int
    duration: int
    turns: int  # quarter turns counterclockwise that put the picture upright; 4 more: it is mirrored first
    raw: "av.VideoFrame"
    scalers: "dict[object, VideoReformatter]" = field(default_factory=dict, repr=False, compare=False)

    def pixels(self, layout: str = "rgb24", width: int = 0, height: int = 0, how: str = "AREA") -> np.ndarray:
        """The upright picture: uint8 [h w 3], or [h w] for the layout "gray".

        Args:
            layout: "rgb24", "bgr24" or "gray".
            width, height: of the result; 0 keeps the coded size, not corrected for the sample aspect ratio.
            how: swscale's interpolation, where the size changes: "AREA", "BILINEAR", "BICUBIC" …
        """
        return upright(self.borrowed(layout, width, height, how), self.turns).copy()

    def borrowed(self, layout: str, width: int = 0, height: int = 0, how: str = "AREA") -> np.ndarray:
        """As `pixels`, but not turned upright, and read-only memory of the decoder's: no copy is made."""
        from av.video.reformatter import VideoReformatter

        across = (height, width) if self.turns % 2 else (width, height)
        scaler = self.scalers.setdefault((layout, across, how), VideoReformatter())  # dear to make
        scaled = scaler.reformat(
            self.raw, *(side or None for side in across), layout, interpolation=how, threads=1
        )
        depth, plane = 1 if layout == "gray" else 3, scaled.planes[0]
        strides = (plane.line_size, depth, 1)
        picture = np.ndarray((scaled.height, scaled.width, depth), np.uint8, plane, strides=strides)
        return picture[..., 0] if depth == 1 else picture

    def luma(self) -> np.ndarray:
        """Luma as coded, uint8 [h w], not turned: no copy where the decoder's own plane holds bytes."""
        if not self.raw.format.name.startswith(("yuv4", "yuvj4", "nv12", "gray")) or any(
            part.bits != 8 for part in self.raw.format.components
        ):
            return self.borrowed("gray")
        plane = self.raw.planes[0]
        return np.ndarray((plane.height, plane.width), np.uint8, plane, strides=(plane.line_size, 1))

    def vectors(self) -> np.ndarray | None:
        """The codec's motion vectors, FFmpeg's AVMotionVector as a structured array; None where it has none.

        The video must have been opened with `vectors`.
        """
        found = side_data(self.raw, "MOTION_VECTORS")
        return None if found is None else found.to_ndarray()  # type: ignore[attr-defined]
