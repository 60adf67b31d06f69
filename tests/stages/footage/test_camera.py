"""The pixels move as the ground truth of the camera motion says."""

import math

import cv2
import numpy as np
import pytest

from stages.footage.camera import Camera
from stages.footage.shot import render_view
from stages.footage.world import Layer, World
from stages.footage.worlds import build

WIDTH, HEIGHT, LAST_S = 320, 180, 2.0


def view_at(camera: Camera, time_s: float) -> np.ndarray:
    world = build("fields", np.random.default_rng(3), 360, 640)
    solid = World("fields", (Layer(world.layers[0].color),))
    image = render_view(solid, camera.pose(time_s, LAST_S), WIDTH, HEIGHT, time_s)
    return cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)


def estimated_motion(camera: Camera, step_s: float) -> np.ndarray:
    """The affine map, [2 3], from points of the first image to the second, estimated from the pixels."""
    first, second = view_at(camera, 1.0), view_at(camera, 1.0 + step_s)
    points = cv2.goodFeaturesToTrack(first, 200, 0.01, 6)
    moved, status, _ = cv2.calcOpticalFlowPyrLK(first, second, points, np.zeros_like(points))
    good = status.reshape(-1) == 1
    found, _ = cv2.estimateAffinePartial2D(points[good], moved[good])
    return found


@pytest.mark.parametrize(
    ("motion", "amount", "right_px", "down_px"),
    [("pan", 0.2, -3.6, 0.0), ("travel", 0.2, -3.6, 0.0), ("tilt", 0.2, 0.0, -3.6)],
)
def test_a_moving_camera_shifts_the_image_in_the_opposite_direction(
    motion: str, amount: float, right_px: float, down_px: float
) -> None:
    found = estimated_motion(Camera(motion, amount), 0.1)
    assert found[0, 2] == pytest.approx(right_px, abs=0.4)
    assert found[1, 2] == pytest.approx(down_px, abs=0.4)


def test_zoom_enlarges_at_its_rate() -> None:
    found = estimated_motion(Camera("zoom", 0.3), 0.1)
    assert math.hypot(found[0, 0], found[1, 0]) == pytest.approx(math.exp(0.03), abs=0.004)


def test_roll_rotates_the_image_counterclockwise() -> None:
    found = estimated_motion(Camera("roll", 20.0), 0.1)
    assert math.degrees(math.atan2(found[0, 1], found[0, 0])) == pytest.approx(2.0, abs=0.3)


def test_the_amount_of_shake_is_the_rms_distance_from_the_center() -> None:
    camera = Camera("shake", 0.01)
    poses = [camera.pose(t, 60.0) for t in np.linspace(0, 60, 3000)]
    for offsets in ([p.x for p in poses], [p.y for p in poses]):
        assert np.sqrt(np.mean(np.square(offsets))) == pytest.approx(0.01, rel=0.15)
        assert abs(np.mean(offsets)) < 0.001


def test_a_fixed_camera_shows_a_constant_image() -> None:
    assert np.array_equal(view_at(Camera("fixed"), 0.0), view_at(Camera("fixed"), 1.7))


def test_an_unknown_motion_is_an_error() -> None:
    with pytest.raises(ValueError, match="'dolly'; there are fixed, pan"):
        Camera("dolly", 1.0).pose(0.0, 1.0)


def test_skipping_hidden_rows_does_not_change_the_image() -> None:
    world = build("hills", np.random.default_rng(5), 300, 600)
    for roll in (-8.0, 0.0, 8.0):
        pose = Camera("roll", roll).pose(1.9, 2.0)
        whole = np.zeros((HEIGHT, WIDTH, 3))
        for layer in world.layers:
            opacity = np.ones((300, 600), np.float32) if layer.alpha is None else layer.alpha
            sheet = World("", (Layer(layer.color, drift=layer.drift),))
            share = World(
                "",
                (
                    Layer(
                        np.repeat((opacity * 255)[..., None], 3, axis=2).round().astype(np.uint8),
                        drift=layer.drift,
                    ),
                ),
            )
            alpha = render_view(share, pose, WIDTH, HEIGHT, 1.0) / 255.0
            whole = whole * (1 - alpha) + render_view(sheet, pose, WIDTH, HEIGHT, 1.0) * alpha
        assert np.abs(render_view(world, pose, WIDTH, HEIGHT, 1.0) - whole).max() <= 4
