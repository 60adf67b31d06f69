"""Moving cars of a street: constant speeds, no collision with the cameras' car or with each other."""

from itertools import combinations

import numpy as np
import pytest

from manifests import ClipmillError
from stages.simulation.driving import DrivingStreets, drive
from stages.simulation.rendering import load_mujoco
from stages.simulation.scenes.traffic import LANE, MAX_CARS, random_traffic, traffic_places

TIMES = np.arange(60) / 12


@pytest.mark.parametrize("seed", range(3))
def test_moving_cars_keep_their_lanes_and_hit_nothing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    way = drive(rng, 12.0)
    cars = random_traffic(rng, MAX_CARS)
    places = traffic_places(cars, way[::10, :3], TIMES)
    own = way[np.round(TIMES * 100).astype(int), :2]
    assert np.linalg.norm(places[:, :, :2] - own[:, None], axis=2).min() > LANE - 0.1
    assert {car.side for car in cars} == {-1, 1}
    for first, second in combinations(range(len(cars)), 2):
        if cars[first].side == cars[second].side:
            apart = np.linalg.norm(places[:, first, :2] - places[:, second, :2], axis=1)
            assert apart.min() > 4  # centers of cars that are less than 3 m long


def test_speeds_are_constant_and_cars_face_where_they_go() -> None:
    rng = np.random.default_rng(0)
    way = np.column_stack([np.arange(0, 30, 0.5), np.zeros(60), np.zeros(60)])
    cars = random_traffic(rng, 6)
    places = traffic_places(cars, way, TIMES)  # also beyond the ends of the way
    steps = np.diff(places[:, :, :2], axis=0)
    speeds = np.abs([car.speed for car in cars])
    np.testing.assert_allclose(np.linalg.norm(steps, axis=2) * 12, np.tile(speeds, (59, 1)))
    ahead = np.stack([np.cos(places[..., 2]), np.sin(places[..., 2])], -1)
    assert ((steps * ahead[1:]).sum(2) > 0).all()
    np.testing.assert_allclose(places[:, :, 1], np.tile([LANE * car.side for car in cars], (60, 1)))


def test_traffic_changes_nothing_else_and_its_places_are_in_the_state() -> None:
    try:
        load_mujoco()
    except ClipmillError as error:
        pytest.skip(f"nothing can be drawn here: {error}")
    settings = {"seed": 0, "frames": 2, "width": 96, "height": 64, "cameras": 2}
    alone, busy = (DrivingStreets(**settings, traffic=cars).simulate(2) for cars in (0, 8))
    for one, two in zip(alone, busy, strict=True):
        assert one.spec["state"]["names"] == [*two.spec["state"]["names"][:5]]
        assert two.spec["state"]["names"][5:8] == ["car1_x", "car1_y", "car1_yaw"]
        assert two.conditions["state"].shape == (2, 5 + 3 * 8)
        np.testing.assert_array_equal(one.conditions["state"], two.conditions["state"][:, :5])
    assert "moving" in busy[1].caption
    assert "moving" not in alone[1].caption
    changed = (alone[1].frames[0] != busy[1].frames[0]).any(-1)
    assert 0.1 < changed.mean() < 0.7  # a car beside the camera, and nothing else
    with pytest.raises(ClipmillError, match="lanes for 16 moving cars, not 17"):
        DrivingStreets(traffic=17).prepare()
