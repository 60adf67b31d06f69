"""Estimates the camera poses of a video by global structure from motion (GLOMAP, in pycolmap)."""

import math
import tempfile
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from training.errors import SettingError
from training.metrics.world.epipolar import Array
from training.metrics.world.matches import Frames


@dataclass(frozen=True)
class EstimatedPoses:
    """Poses of a video.

    Attributes:
        poses: Camera-to-world, [t 3 4], in a frame and a scale of their own; zeros where there is none.
        has_pose: Which frames have a pose, [t].
        intrinsics: fx, fy, cx, cy in px; NaN without a pose.
        depth: Median depth of the points of the scene in the frames that show them; NaN without a pose.
    """

    poses: Array
    has_pose: npt.NDArray[np.bool_]
    intrinsics: Array
    depth: float

    @property
    def registered_share(self) -> float:
        """Share of the frames that have a pose."""
        return float(self.has_pose.mean())


def load_pycolmap() -> Any:
    """The module pycolmap.

    Raises:
        SettingError: It is not installed.
    """
    try:
        return import_module("pycolmap")
    except ImportError as error:
        raise SettingError(
            "the estimation of camera poses needs pycolmap", remedy="pip install 'clipmill[simulation]'"
        ) from error


def estimate_poses(
    frames: Frames,
    intrinsics: Array | None,
    *,
    num_threads: int = 1,
    seed: int = 0,
    max_features: int = 2048,
) -> EstimatedPoses:
    """Poses of the frames [t h w 3] of a camera.

    GLOMAP is used because incremental mapping does not initialize on a pure rotation. Source: Pan et al.
    2024, arXiv:2407.20219. The largest reconstruction counts. The principal point is that of the center.

    Args:
        frames: The video.
        intrinsics: fx, fy, cx, cy of all frames in px, which are not refined. None: the focal length is
            estimated from the fundamental matrices of the pairs of frames, and refined.
        num_threads: CPU threads.
        seed: Of its random choices.
        max_features: SIFT features of a frame.
    """
    pycolmap = load_pycolmap()
    pycolmap.logging.minloglevel = 3
    with tempfile.TemporaryDirectory(prefix="clipmill-poses-") as folder:
        work = Path(folder)
        images, database = work / "images", work / "database.db"
        _write_images(frames, images)
        _extract(pycolmap, database, images, intrinsics, num_threads, max_features)
        _match(pycolmap, database, num_threads)
        is_known = intrinsics is not None
        found = _reconstruct(pycolmap, database, images, work / "out", num_threads, seed, is_known)
    poses, has_pose = np.zeros((len(frames), 3, 4)), np.zeros(len(frames), bool)
    values, depth = np.full(4, np.nan), math.nan
    if found is not None:
        [camera] = found.cameras.values()
        matrix = camera.calibration_matrix()
        values, depth = matrix[[0, 1, 0, 1], [0, 1, 2, 2]], _median_depth(found)
        for image in found.images.values():
            if image.has_pose:
                number = int(Path(image.name).stem)
                poses[number] = image.cam_from_world().inverse().matrix()
                has_pose[number] = True
    return EstimatedPoses(poses, has_pose, values, depth)


def _median_depth(reconstruction: Any) -> float:
    """Median distance, along the axis of the camera, of each point from each frame that shows it."""
    points = {key: np.append(point.xyz, 1) for key, point in reconstruction.points3D.items()}
    depths = [
        image.cam_from_world().matrix()[2] @ points[observed.point3D_id]
        for image in reconstruction.images.values()
        if image.has_pose
        for observed in image.points2D
        if observed.has_point3D()
    ]
    return float(np.median(depths)) if depths else math.nan


def _write_images(frames: Frames, folder: Path) -> None:
    from training.metrics.world.matches import require_opencv

    cv2 = require_opencv()
    folder.mkdir()
    for number, frame in enumerate(frames):
        cv2.imwrite(str(folder / f"{number:06d}.png"), cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))


def _extract(
    pycolmap: Any,
    database: Path,
    images: Path,
    intrinsics: Array | None,
    num_threads: int,
    max_features: int,
) -> None:
    reader = pycolmap.ImageReaderOptions()
    reader.camera_model = "SIMPLE_PINHOLE"
    if intrinsics is not None:
        reader.camera_model = "PINHOLE"
        reader.camera_params = ",".join(str(float(value)) for value in intrinsics)
    extraction = pycolmap.FeatureExtractionOptions()
    extraction.num_threads = num_threads
    extraction.sift.max_num_features = max_features
    pycolmap.extract_features(
        database,
        images,
        camera_mode=pycolmap.CameraMode.SINGLE,
        reader_options=reader,
        extraction_options=extraction,
        device=pycolmap.Device.cpu,
    )


def _match(pycolmap: Any, database: Path, num_threads: int) -> None:
    matching = pycolmap.FeatureMatchingOptions()
    matching.num_threads = num_threads
    pairing = pycolmap.SequentialPairingOptions()
    pairing.num_threads = num_threads
    pycolmap.match_sequential(
        database, matching_options=matching, pairing_options=pairing, device=pycolmap.Device.cpu
    )


def _reconstruct(
    pycolmap: Any, database: Path, images: Path, out: Path, num_threads: int, seed: int, is_known: bool
) -> Any | None:
    """The largest reconstruction, or None."""
    options = pycolmap.GlobalPipelineOptions()
    options.num_threads = options.mapper.num_threads = num_threads
    options.random_seed = options.mapper.random_seed = seed
    options.mapper.rotation_averaging.random_seed = seed
    options.mapper.global_positioning.random_seed = seed
    options.mapper.global_positioning.use_gpu = False
    adjustment = options.mapper.bundle_adjustment
    adjustment.refine_focal_length, adjustment.refine_extra_params = not is_known, False
    adjustment.ceres.use_gpu = False
    out.mkdir()
    try:
        if not is_known:
            calibration = pycolmap.ViewGraphCalibrationOptions()
            calibration.random_seed = seed
            pycolmap.calibrate_view_graph(database, calibration)
        found = pycolmap.global_mapping(database, images, out, options)
    except (RuntimeError, ValueError):  # no pair of images has enough matches
        return None
    return max(found.values(), key=lambda each: each.num_reg_images(), default=None)
