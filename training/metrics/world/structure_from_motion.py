"""Estimates the camera poses of a video by global structure from motion (GLOMAP, in pycolmap)."""

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
    """

    poses: Array
    has_pose: npt.NDArray[np.bool_]

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
        raise SettingError("the metric poses needs pycolmap", remedy="pip install pycolmap") from error


def estimate_poses(
    frames: Frames, intrinsics: Array, *, num_threads: int = 1, seed: int = 0, max_features: int = 2048
) -> EstimatedPoses:
    """Poses of the frames [t h w 3] of a camera with known intrinsics (fx, fy, cx, cy), px.

    GLOMAP is used because incremental mapping does not initialize on a pure rotation. The focal length is not
    refined. Source: Pan et al. 2024, arXiv:2407.20219. The largest reconstruction counts.

    Args:
        frames: The video.
        intrinsics: Of its first frame; the others have the same.
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
        found = _reconstruct(pycolmap, database, images, work / "out", num_threads, seed)
    poses, has_pose = np.zeros((len(frames), 3, 4)), np.zeros(len(frames), bool)
    if found is not None:
        for image in found.images.values():
            if image.has_pose:
                number = int(Path(image.name).stem)
                poses[number] = image.cam_from_world().inverse().matrix()
                has_pose[number] = True
    return EstimatedPoses(poses, has_pose)


def _write_images(frames: Frames, folder: Path) -> None:
    from training.metrics.world.matches import require_opencv

    cv2 = require_opencv()
    folder.mkdir()
    for number, frame in enumerate(frames):
        cv2.imwrite(str(folder / f"{number:06d}.png"), cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))


def _extract(
    pycolmap: Any, database: Path, images: Path, intrinsics: Array, num_threads: int, max_features: int
) -> None:
    reader = pycolmap.ImageReaderOptions()
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
    pycolmap: Any, database: Path, images: Path, out: Path, num_threads: int, seed: int
) -> Any | None:
    """The largest reconstruction, or None."""
    options = pycolmap.GlobalPipelineOptions()
    options.num_threads = options.mapper.num_threads = num_threads
    options.random_seed = options.mapper.random_seed = seed
    options.mapper.rotation_averaging.random_seed = seed
    options.mapper.global_positioning.random_seed = seed
    options.mapper.global_positioning.use_gpu = False
    adjustment = options.mapper.bundle_adjustment
    adjustment.refine_focal_length = adjustment.refine_extra_params = False
    adjustment.ceres.use_gpu = False
    out.mkdir()
    try:
        found = pycolmap.global_mapping(database, images, out, options)
    except (RuntimeError, ValueError):  # no pair of images has enough matches
        return None
    return max(found.values(), key=lambda each: each.num_reg_images(), default=None)
