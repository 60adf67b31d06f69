"""GLOMAP on rendered rooms: an arc, a straight path and a rotation; a film without texture."""

import numpy as np
import pytest

from benchmarks.world.room import Room, camera_path
from training.metrics.world.structure_from_motion import estimate_poses
from training.metrics.world.trajectory import pose_errors

pytest.importorskip("pycolmap", reason="pycolmap is not installed: pip install pycolmap")
SIZE, INTRINSICS = (160, 288), np.array([190.0, 190.0, 144.0, 80.0])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["arc", "forward", "rotate"])
def test_poses_of_a_room(kind: str) -> None:
    poses = camera_path(kind, 13, 2.5)
    found = estimate_poses(Room(1).film(poses, INTRINSICS, SIZE), INTRINSICS)
    assert found.registered_share == 1
    errors = pose_errors(found.poses, found.has_pose, poses)
    assert np.median(errors.rotation_deg) < 0.3  # of a rotation, single frames may be wrong
    assert np.isnan(errors.translation_percent) if kind == "rotate" else errors.translation_percent < 2


@pytest.mark.slow
def test_a_film_without_texture_has_no_poses() -> None:
    found = estimate_poses(np.full((4, *SIZE, 3), 120, np.uint8), INTRINSICS)
    assert found.registered_share == 0
