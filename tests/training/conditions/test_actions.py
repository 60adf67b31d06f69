"""Actions are normalized and reach the latent frame that they lead to; other ones are refused."""

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from training.conditions.actions import encode_actions
from training.conditions.condition_files import read_actions, read_camera
from training.conditions.spec import ActionSpec, CameraSpec, ConditionSpec, read_spec
from training.errors import LatentMismatchError, SettingError

ACTION = ActionSpec(("x", "y"), ("m", "m"), "world", (1.0, 2.0), (0.5, 0.0))
SPEC = ConditionSpec(12.0, ACTION, CameraSpec("m", 1.0))
FOOTER: dict[str, Any] = {
    "rate": 12.0,
    "action": {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(ACTION).items()},
    "camera_pose": {"unit": "m"},
}


def test_actions_are_normalized_and_grouped_by_latent_frame() -> None:
    actions = torch.arange(16.0).reshape(8, 2)
    grouped, mask = encode_actions(actions, ACTION, stride=4)
    assert grouped.shape == (3, 8)
    assert mask.tolist() == [0, 1, 1]
    assert torch.equal(grouped[0], torch.zeros(8))
    expected = torch.stack([(actions[:, 0] - 1) / 0.5, actions[:, 1] - 2], 1)  # a std of 0 is a constant
    assert torch.equal(grouped[1:].reshape(8, 2), expected)
    with pytest.raises(ValueError, match="7 actions are not k"):
        encode_actions(actions[:7], ACTION, stride=4)
    with pytest.raises(ValueError, match="are not \\[n 2\\]: x, y"):
        encode_actions(torch.zeros(8, 3), ACTION, stride=4)


@pytest.mark.parametrize("step", [0, 3, 4, 7])
def test_one_action_changes_the_latent_frame_of_the_frame_that_it_leads_to(step: int) -> None:
    """Action i leads to frame i + 1, and latent frame j has the frames (j - 1) * 4 + 1 … j * 4."""
    actions = torch.zeros(8, 2)
    other = actions.clone()
    other[step] = 9.0
    changed = (encode_actions(other, ACTION, 4)[0] != encode_actions(actions, ACTION, 4)[0]).any(1)
    frame = step + 1
    assert changed.nonzero().flatten().tolist() == [1 + (frame - 1) // 4]


def test_unknown_actions_are_zeros_with_a_mask() -> None:
    actions = torch.ones(8, 2)
    actions[2] = torch.nan
    grouped, mask = encode_actions(actions, ACTION, 4)
    assert mask.tolist() == [0, 0, 1]
    assert float(grouped[1].abs().max()) == 0


def test_a_spec_is_read_from_a_footer_and_from_a_model_file() -> None:
    spec = read_spec(FOOTER, ("action", "camera"), 12.0, 0.0, "shard")
    assert spec == SPEC  # metric poses have a scale of 1 m
    stored = json.loads(json.dumps(spec.to_json()))
    assert ConditionSpec.from_json(stored) == spec
    with pytest.raises(ValueError, match="digest"):
        ConditionSpec.from_json(stored | {"rate": 10.0})
    sfm = FOOTER | {"camera_pose": {"unit": "scene"}}
    assert read_spec(sfm, ("camera",), 12.0, 0.0, "shard").camera == CameraSpec("scene", 0.0)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"names": ("x", "z")}, "names of action is x, z, but x, y"),
        ({"units": ("m", "mm")}, "units of action is m, mm"),
        ({"frame": "gripper"}, "frame of action is gripper, but world"),
        ({"mean": (1.0, 2.5)}, "mean of action is 1, 2.5, but 1, 2"),
        ({"std": (1.0, 0.0)}, "std of action"),
        (
            {"names": ("x",), "units": ("m",), "mean": (1.0,), "std": (1.0,)},
            "size of action is 1, but 2 in the model",
        ),
    ],
)
def test_other_actions_are_refused_field_by_field(changes: Mapping[str, Any], field: str) -> None:
    other = replace(SPEC, action=replace(ACTION, **changes))
    with pytest.raises(LatentMismatchError, match=field):
        SPEC.check(other, "shard")


def test_other_conditions_are_refused() -> None:
    for other, field in (
        (replace(SPEC, rate=10.0), "rate is 10"),
        (replace(SPEC, camera=None), "camera is absent"),
        (replace(SPEC, camera=CameraSpec("scene", 0.0)), "unit of camera is scene"),
    ):
        with pytest.raises(LatentMismatchError, match=field):
            SPEC.check(other, "shard")
    with pytest.raises(LatentMismatchError, match=r"rate is 10\.0, but 12\.0 in the model of init_from"):
        SPEC.check_contained(replace(SPEC, rate=10.0), "the model of init_from")
    only_poses = replace(SPEC, action=None)  # they mean the same at every rate
    only_poses.check_contained(replace(SPEC, rate=10.0), "the model of init_from")
    with pytest.raises(LatentMismatchError, match="scale of camera"):
        only_poses.check_contained(replace(SPEC, camera=CameraSpec("m", 7.0)), "the model of init_from")
    with pytest.raises(LatentMismatchError, match="the clips have no camera_pose") as caught:
        read_spec({"rate": 12.0, "action": FOOTER["action"]}, ("camera",), 12.0, 0.0, "shard")
    assert "conditions.parquet" in (caught.value.remedy or "")
    with pytest.raises(LatentMismatchError, match="a rate of 12 per second, and the clips 24"):
        read_spec(FOOTER, ("action",), 24.0, 0.0, "shard")
    with pytest.raises(LatentMismatchError, match="KeyError: 'mean'"):
        read_spec(FOOTER | {"action": {"names": ["x"], "units": ["m"], "frame": ""}}, ("action",), 12, 0, "")


def write_sidecar(file: Path, rate: float, **columns: list[list[float]]) -> Path:
    spec = {"rate": rate, "action": {"names": ["x", "y"]}, "camera_intrinsics": {"width": 96, "height": 64}}
    table = pa.table({"timestamp": [n / rate for n in range(3)], **columns})
    pq.write_table(table.replace_schema_metadata({"clipmill.conditions": json.dumps(spec)}), file)
    return file


def test_actions_are_read_from_files(tmp_path: Path) -> None:
    actions = [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]
    np.save(tmp_path / "a.npy", np.array(actions))
    (tmp_path / "a.csv").write_text("y,timestamp,x\n2,0,1\n4,0.0833333,3\n6,0.1666667,5\n")
    sidecar = write_sidecar(tmp_path / "a.parquet", 12.0, action=actions)
    assert read_actions(tmp_path / "a.npy", ACTION, 12.0).tolist() == actions
    assert read_actions(tmp_path / "a.csv", ACTION, 12.0).tolist() == actions
    assert read_actions(sidecar, ACTION, 12.0).tolist() == actions[:2]  # three frames: two steps


def test_files_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "wide.npy", np.zeros((3, 3)))
    np.save(tmp_path / "nan.npy", np.full((3, 2), np.nan))
    (tmp_path / "rate.csv").write_text("x,y,timestamp\n1,2,0\n1,2,0.1\n")
    (tmp_path / "names.csv").write_text("x,z\n1,2\n")
    (tmp_path / "text.csv").write_text("x,y\n1,two\n")
    (tmp_path / "broken.npy").write_bytes(b"no")
    other_rate = write_sidecar(tmp_path / "rate.parquet", 10.0, action=[[0.0, 0.0]] * 3)
    for name, message in (
        ("wide.npy", "shape \\(3, 3\\), and the model reads \\[n 2\\]: x, y"),
        ("nan.npy", "not finite"),
        ("rate.csv", "a rate of 10 per second, and the model 12"),
        ("names.csv", "columns are x, z"),
        ("text.csv", "no table of numbers"),
        ("broken.npy", "no .npy file"),
        (other_rate.name, "a rate of 10 per second"),
        ("none.npy", "cannot be read"),
        ("a.txt", "none of them"),
    ):
        with pytest.raises(SettingError, match=message):
            read_actions(tmp_path / name, ACTION, 12.0)


def test_a_camera_is_read_from_files(tmp_path: Path) -> None:
    pose = torch.eye(3, 4).flatten().tolist()
    sidecar = write_sidecar(
        tmp_path / "c.parquet", 12.0, camera_pose=[pose] * 3, camera_intrinsics=[[80.0, 80.0, 48.0, 32.0]] * 3
    )
    poses, intrinsics = read_camera(sidecar, 12.0, (32, 48))
    assert poses.shape == (3, 3, 4)
    assert intrinsics is not None
    assert intrinsics[0].tolist() == [40.0, 40.0, 24.0, 16.0]
    np.save(tmp_path / "c.npy", 2 * np.tile(np.eye(3, 4), (3, 1, 1)))
    with pytest.raises(SettingError, match="rotation of camera pose 0 is none"):
        read_camera(tmp_path / "c.npy", 12.0, (32, 48))
