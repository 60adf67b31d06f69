"""Consistency between views: recordings of cameras of one rig, with the cameras permuted as a control."""

import json
from pathlib import Path

import numpy as np

from benchmarks.world.room import look_rotation
from training.cli import main

KINDS = ("front", "left", "right")


def test_views_of_a_rig(tmp_path: Path, film_tools: "tuple") -> None:
    plane_film, write_clip = film_tools
    for recording in range(2):
        for kind, x, yaw in (("front", 0, 0), ("left", -0.3, -9), ("right", 0.35, 12)):
            poses = np.zeros((3, 3, 4))
            poses[:, :, :3] = look_rotation(yaw)
            poses[:, :, 3] = np.array([x, 0.1 * (yaw > 0), -3]) + np.arange(3)[:, None] * np.array(
                [0, 0, 0.1]
            )
            film = plane_film(recording, poses)
            write_clip(tmp_path / "truth" / f"drive_{recording}" / f"{kind}.mp4", film, poses)
            write_clip(tmp_path / "made" / f"drive_{recording}" / f"{kind}.mp4", film)
            if kind == "left":  # another model, whose left camera stands elsewhere
                film = plane_film(recording, poses + np.array([[0, 0, 0, 0], [0, 0, 0, 0.2], [0, 0, 0, 0]]))
            if recording or kind != "right":  # and which made one recording without its right camera
                write_clip(tmp_path / "other" / f"drive_{recording}" / f"{kind}.mp4", film)
    out = tmp_path / "out.json"
    folders = ["--videos", str(tmp_path / "made"), "--reference", str(tmp_path / "truth")]
    options = ["--metrics", "cross-view", "--json", str(out), "--compare", f"other={tmp_path / 'other'}"]
    assert main(["evaluate", "world", *folders, *options]) == 0
    table = json.loads(out.read_text())["tables"]["cross-view"]
    errors = {row: each["crossview_px"] for row, each in table["rows"].items()}
    assert list(errors) == ["model", "other", "views of two recordings", "ground truth", "wrong condition"]
    assert errors["other"]["mean"] > 2 * errors["model"]["mean"]
    assert errors["other"]["clips"] == 1
    assert errors["model"]["mean"] < 0.5
    assert errors["model"]["clips"] == 2
    assert errors["wrong condition"]["mean"] > 5 * errors["model"]["mean"]
    # Views that do not show one scene do not match: this is reported, and no error is 0.
    other = errors["views of two recordings"]
    assert other["mean"] is None or other["mean"] > 5 * errors["model"]["mean"]
    assert table["rows"]["model"]["crossview_matches"]["mean"] > 100
