"""The camera poses of a clip are estimated from its frames."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from manifests import Artifact
from pipeline.errors import RecipeError
from stages.conditions.estimate_camera import ClipFile, EstimateCamera, EstimatedCamera
from stages.conditions.sidecar import parse_conditions, read_conditions
from stages.media.encoding.arrays import write_mp4
from stages.recipes.latents import Encoding, latents


def clip_of(path: Path, frames: Any, fps: int = 12) -> ClipFile:
    write_mp4(path, frames, Fraction(fps))
    return ClipFile(clip=Artifact.of(path.read_bytes(), ".mp4"))


def estimate(row: ClipFile, **settings: Any) -> EstimatedCamera:
    [found] = EstimateCamera(**settings).annotate([row])
    assert isinstance(found, EstimatedCamera)
    return found


def test_a_clip_without_a_path_has_no_poses_and_is_no_error(tmp_path: Path) -> None:
    pytest.importorskip("pycolmap", reason="needs the extra simulation")
    gray = np.full((4, 48, 64, 3), 128, np.uint8)
    found = estimate(clip_of(tmp_path / "a.mp4", gray))
    assert (found.camera_path, found.camera_estimated, found.camera_registered_share) == (None, False, 0)
    long = estimate(clip_of(tmp_path / "b.mp4", gray), max_frames=3)
    assert (long.camera_path, long.camera_estimated) == (None, False)


def test_poses_that_are_not_packed_are_refused() -> None:
    with pytest.raises(RecipeError, match="estimate_camera packs nothing without conditions=camera"):
        latents(footage="x", encoding=Encoding(estimate_camera=True))


@pytest.mark.slow
def test_the_path_in_a_generated_room_is_found(tmp_path: Path) -> None:
    """Truth: the poses of the generator. After alignment, rotation and translation are right."""
    pytest.importorskip("pycolmap", reason="needs the extra simulation")
    from stages.simulation.camera import CameraRooms
    from stages.simulation.write_films import write_films
    from training.metrics.world.trajectory import pose_errors

    rooms = CameraRooms(seed=3, width=320, height=192, frames=17, motions=("arc_left",))
    write_films(tmp_path, rooms, scenes=1)
    [film] = tmp_path.glob("*.mp4")
    truth = read_conditions(str(film.with_suffix(".conditions.parquet")))
    row = ClipFile(clip=Artifact.of(film.read_bytes(), ".mp4"))
    focal = float(truth.columns["camera_intrinsics"][0, 0]) / 320
    found = estimate(row, fps=float(truth.spec["rate"]), focal_length=focal)
    assert found.camera_estimated
    assert found.camera_path is not None
    path = parse_conditions(found.camera_path.read(), "camera_path")
    assert path.timestamps == pytest.approx(truth.timestamps)
    assert path.spec["camera_pose"] == {"unit": "median scene depth"}
    poses, reference = (each.columns["camera_pose"].reshape(-1, 3, 4).astype(float) for each in (path, truth))
    errors = pose_errors(poses, np.ones(len(poses), bool), reference)
    assert np.nanmax(errors.rotation_deg) < 0.5
    assert errors.translation_percent < 2
