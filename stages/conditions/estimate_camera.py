"""Estimates the path of the camera of each clip from its frames, by structure from motion."""

import math
import tempfile
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from manifests import Artifact, NonNegativeFloat, PositiveFloat, PositiveInt, Row, column
from pipeline import Annotate, Needs, Reject
from stages.conditions.sidecar import write_conditions
from stages.latents.read_windows import displayed_frames
from stages.latents.split_windows import exact_fps
from stages.media.decoding.video import open_video

if TYPE_CHECKING:
    from training.metrics.world.structure_from_motion import EstimatedPoses

UNIT = "median scene depth"
MIN_FRAMES = 3


class ClipFile(Row):
    clip: Artifact


class EstimatedCamera(Row):
    camera_path: Artifact | None = column(
        "camera pose and intrinsics of each frame, in the format of stages.conditions.sidecar; its times "
        "count from the start of the clip. Without a value if a frame has no pose"
    )
    camera_estimated: bool = column("whether every frame has a camera pose")
    camera_registered_share: float = column("share of the frames that have a camera pose", unit="0..1")
    camera_focal_length: float = column("focal length; NaN without poses", unit="frame widths")


class EstimateCamera(Annotate[ClipFile, EstimatedCamera]):
    """Estimates camera poses and the focal length of each clip from its frames, with pycolmap.

    Global structure from motion (GLOMAP) also finds the poses of a camera that only turns. Lengths have no
    scale in a video: translations are divided by the median depth of the scene, so that clips of different
    scenes compare. A camera that only moves straight does not determine its focal length: state it if it is
    known. Source: Pan et al. 2024, arXiv:2407.20219. It needs the extra `simulation`.

    Attributes:
        fps: Frames per second that get a pose. Higher values take longer: about 2 s per frame on one core.
        long_side_px: Frames are scaled down to this. Higher values find more points, and take longer.
        max_frames: Maximum number of frames of a clip. Longer ones get no poses. Higher values take longer.
        max_features: SIFT points of a frame. Higher values are more robust, and take longer.
        focal_length: Focal length in frame widths. Higher is a narrower view. 0 estimates it.
    """

    fps: PositiveFloat = 12.0
    long_side_px: PositiveInt = 640
    max_frames: PositiveInt = 240
    max_features: PositiveInt = 2048
    focal_length: NonNegativeFloat = 0.0

    needs = Needs(cpus=1, memory_gb=2, batch=1)

    def annotate(self, rows: Sequence[ClipFile]) -> Iterator[EstimatedCamera | Reject]:
        for row in rows:
            try:
                yield self._of_clip(row.clip)
            except Reject as reason:
                yield reason

    def _of_clip(self, clip: Artifact) -> EstimatedCamera:
        from training.metrics.world.structure_from_motion import estimate_poses

        with clip.local() as path:
            frames, size = self._read(path)
        if not MIN_FRAMES <= len(frames) <= self.max_frames:
            return EstimatedCamera(
                camera_path=None,
                camera_estimated=False,
                camera_registered_share=0.0,
                camera_focal_length=math.nan,
            )
        width, height = size
        focal = self.focal_length * width
        known = np.array([focal, focal, width / 2, height / 2]) if focal else None
        found = estimate_poses(frames, known, max_features=self.max_features)
        is_complete = bool(found.has_pose.all())
        return EstimatedCamera(
            camera_path=self._serialize(found, size) if is_complete else None,
            camera_estimated=is_complete,
            camera_registered_share=found.registered_share,
            camera_focal_length=float(found.intrinsics[0]) / width,
        )

    def _read(self, path: Path) -> tuple[npt.NDArray[np.uint8], tuple[int, int]]:
        """The frames [t h w 3], and their width and height; at most one more than `max_frames`."""
        images, size = list[Any](), (0, 0)
        with open_video(str(path)) as video:
            for frame in islice(displayed_frames(video, exact_fps(self.fps)), self.max_frames + 1):
                if not images:
                    width, height = frame.display_size
                    scale = min(1.0, self.long_side_px / max(width, height))
                    size = max(1, round(width * scale)), max(1, round(height * scale))
                images.append(frame.pixels("rgb24", *size))
        return np.stack(images) if images else np.empty((0, 0, 0, 3), np.uint8), size

    def _serialize(self, found: "EstimatedPoses", size: tuple[int, int]) -> Artifact:
        poses = found.poses.copy()
        poses[:, :, 3] /= found.depth
        count = len(poses)
        columns = {
            "camera_pose": poses.reshape(count, 12),
            "camera_intrinsics": np.tile(found.intrinsics, (count, 1)),
        }
        spec = {
            "rate": self.fps,
            "camera_pose": {"unit": UNIT},
            "camera_intrinsics": {"width": size[0], "height": size[1]},
        }
        with tempfile.TemporaryDirectory(prefix="clipmill-camera-") as folder:
            times = np.arange(count) / self.fps
            return Artifact.of(
                write_conditions(Path(folder, "clip"), times, columns, spec).read_bytes(), ".parquet"
            )
