"""Which cameras of a rig are neighbors: what one sees of the rays of another, by poses and intrinsics."""

import math
from typing import Any

import pytest

from training.conditions.rig import find_neighbors, overlap_share


def camera(yaw_deg: float, field_deg: float = 90.0, center: tuple[float, float, float] = (0, 0, 0)) -> Any:
    """A camera of a rig that is turned around the vertical axis; positive turns right."""
    c, s = math.cos(math.radians(yaw_deg)), math.sin(math.radians(yaw_deg))
    x, y, z = center
    focal = 0.5 / math.tan(math.radians(field_deg / 2))
    return {
        "pose": [c, 0, s, x, 0, 1, 0, y, -s, 0, c, z],
        "intrinsics": [focal, focal, 0.5, 0.5],
    }


def test_the_share_of_rays_is_that_of_the_fields_of_view() -> None:
    assert overlap_share(camera(0), camera(0)) == 1
    assert overlap_share(camera(0), camera(180)) == 0
    assert overlap_share(camera(0), camera(95)) == 0
    # Columns of the image right of its middle, less those above and below the image of the other.
    assert 0.3 < overlap_share(camera(0), camera(45)) < 0.5
    assert overlap_share(camera(0, 30), camera(20, 90)) == 1  # the narrow one is within the wide one
    assert overlap_share(camera(30), camera(-30)) == overlap_share(camera(-30), camera(30))


def test_the_distance_decides_for_cameras_that_look_at_the_same_thing() -> None:
    left, right = camera(60, 40, (-1, 0, 0)), camera(-60, 40, (1, 0, 0))
    assert overlap_share(left, right) == 0
    assert overlap_share(left, right, distance=1.15) > 0.5
    assert overlap_share(left, right, distance=10) == 0


@pytest.mark.parametrize(
    ("min_share", "pairs"),
    [
        (0.05, (("front", "left"), ("front", "right"))),
        (0.0, (("front", "left"), ("front", "right"))),
        (0.9, ()),
    ],
)
def test_neighbors_overlap_by_the_least_share(min_share: float, pairs: tuple[tuple[str, str], ...]) -> None:
    rig = {"front": camera(0, 85), "left": camera(-60, 85), "right": camera(60, 85), "rear": camera(180, 85)}
    assert find_neighbors(rig, min_share) == pairs
