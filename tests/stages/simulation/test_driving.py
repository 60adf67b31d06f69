"""Films of a car with several cameras: poses of one rig, the way ahead, and a caption for each camera."""

import json
from pathlib import Path

import numpy as np
import pytest

from manifests import ClipmillError
from stages.conditions.sidecar import read_conditions, sidecar_uri
from stages.ingest.list_cameras import ListCameras
from stages.ingest.list_recordings import ListRecordings
from stages.simulation.driving import PITCH, RIG, DrivingStreets, camera_poses, drive, trajectory_ahead
from stages.simulation.rendering import load_mujoco
from stages.simulation.scenes.trajectories import look
from stages.simulation.write_films import write_films


def test_the_trajectory_ahead_is_the_way_in_the_frame_of_the_car() -> None:
    way = drive(np.random.default_rng(3), 8.0)
    for time in (0.0, 0.5):
        points = trajectory_ahead(way, time).reshape(64, 3)
        x, y, yaw, speed, _ = way[round(time / 0.01)]
        forward, left, up = points.T
        world = np.column_stack(
            [x + forward * np.cos(yaw) - left * np.sin(yaw), y + forward * np.sin(yaw) + left * np.cos(yaw)]
        )
        expected = way[round(time / 0.01) + 10 * np.arange(1, 65), :2]
        np.testing.assert_allclose(world, expected, atol=1e-6)
        assert forward[0] == pytest.approx(speed * 0.1, abs=0.02)
        assert not up.any()


def test_cameras_of_a_rig_keep_their_places_in_the_car() -> None:
    states = drive(np.random.default_rng(1), 3.0)[::50]
    front = camera_poses(states, "front")
    for name, (turn, _) in RIG.items():
        poses = camera_poses(states, name)
        rotations = poses[:, :, :3]
        assert np.abs(rotations @ rotations.transpose(0, 2, 1) - np.eye(3)).max() < 1e-6
        relative = front[:, :, :3].transpose(0, 2, 1) @ rotations
        np.testing.assert_allclose(relative, np.broadcast_to(relative[0], relative.shape), atol=1e-9)
        expected = look(np.zeros(3), np.radians(turn), PITCH)[:, 2]
        np.testing.assert_allclose(
            look(np.zeros(3), 0, PITCH)[:, :3] @ relative[0][:, 2], expected, atol=1e-9
        )
        apart = front[:, :, :3].transpose(0, 2, 1) @ (poses[:, :, 3] - front[:, :, 3])[:, :, None]
        np.testing.assert_allclose(apart, np.broadcast_to(apart[0], apart.shape), atol=1e-9)


def test_a_drive_is_a_recording_with_a_caption_for_each_camera(tmp_path: Path) -> None:
    try:
        load_mujoco()
    except ClipmillError as error:
        pytest.skip(f"nothing can be drawn here: {error}")
    listed = write_films(tmp_path, DrivingStreets(frames=3, width=96, height=64, cameras=3), 1)
    [recording] = ListRecordings(root=str(listed)).rows()
    assert recording.recording_cameras == ("front", "left", "right")
    cameras = list(ListCameras().expand(recording))
    for camera in cameras:
        place = camera.camera_name
        assert camera.list_caption == json.loads(camera.camera_calibration)["caption"]
        assert (camera.list_caption or "").startswith(
            f"The {place} camera of a car that drives along a street"
        )
        sidecar = read_conditions(sidecar_uri(camera.uri) or "")
        assert sidecar.columns["camera_pose"].shape == (3, 12)
        assert sidecar.columns["trajectory"].shape == (3, 192)
        assert sidecar.spec["camera_intrinsics"] == {"width": 96, "height": 64}
    assert len({camera.list_caption for camera in cameras}) == 3
    [by_folder] = ListRecordings(root=str(tmp_path)).rows()
    assert by_folder.recording_cameras == recording.recording_cameras


def test_more_cameras_than_the_car_has_are_refused() -> None:
    with pytest.raises(ClipmillError, match="the car has 6 cameras, not 7"):
        DrivingStreets(cameras=7).prepare()
