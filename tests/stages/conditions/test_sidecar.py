"""The conditions of a video are read as they were written, and wrong ones are refused with the reason."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stages.conditions.sidecar import (
    METADATA_KEY,
    SidecarError,
    read_conditions,
    sidecar_uri,
    write_conditions,
)

SPEC: dict[str, Any] = {
    "rate": 10.0,
    "action": {"names": ["dx", "dy"], "units": ["px", "px"], "frame": "image"},
    "camera_pose": {"unit": "m"},
    "camera_intrinsics": {"width": 64, "height": 48},
    "trajectory": {"points": 2, "step_s": 0.1, "unit": "m", "frame": "car"},
}


def turned(degrees: float) -> list[float]:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return [c, 0, s, 1, 0, 1, 0, 2, -s, 0, c, 3]


def columns(rows: int = 4) -> dict[str, Any]:
    return {
        "action": np.arange(2.0 * rows).reshape(rows, 2),
        "camera_pose": [turned(10 * n) for n in range(rows)],
        "camera_intrinsics": [[50.0, 50, 32, 24]] * rows,
        "state": np.ones((rows, 5)),
    }


def test_conditions_are_read_as_written_and_equal_values_give_equal_bytes(tmp_path: Path) -> None:
    path = write_conditions(tmp_path / "a.mp4", np.arange(4) / 10, columns(), SPEC)
    assert path == tmp_path / "a.conditions.parquet"
    uri = sidecar_uri(str(tmp_path / "a.mp4"))
    assert uri == str(path)
    found = read_conditions(uri)
    assert found.spec == SPEC
    assert found.timestamps.tolist() == [0, 0.1, 0.2, 0.3]
    for name, values in columns().items():
        assert np.array_equal(found.columns[name], np.asarray(values, np.float32))
    other = write_conditions(tmp_path / "b.mp4", np.arange(4) / 10, columns(), SPEC)
    assert other.read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    ("video", "expected"),
    [
        ("s3://bucket/films.v2/a.mp4", "s3://bucket/films.v2/a.conditions.parquet"),
        ("https://host/films/a.b.mp4", "https://host/films/a.b.conditions.parquet"),
        ("/films/front", "/films/front.conditions.parquet"),
        ("/films/a.tar#member=b.mp4&offset=512&size=9", None),
        ("https://host/a.mp4#list=/lists/l.txt&line=3", None),
    ],
)
def test_the_file_is_beside_the_video(video: str, expected: str | None) -> None:
    assert sidecar_uri(video) == expected


def mirrored(values: dict[str, Any]) -> None:
    values["camera_pose"][2] = [-1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0]


WRONG = {
    "no rotation at 0.2 s": mirrored,
    "action is not finite at 0.1 s": lambda v: v["action"].__setitem__((1, 0), np.nan),
    "action has 3 numbers, but 2 names and 2 units": lambda v: v.update(action=np.zeros((4, 3))),
    "need each other": lambda v: v.pop("camera_intrinsics"),
    "focal length is not positive at 0 s": lambda v: v.update(camera_intrinsics=[[0.0, 50, 32, 24]] * 4),
    "trajectory has 9 numbers, not x, y, z of its points": lambda v: v.update(trajectory=np.ones((4, 9))),
    "camera_pose has the shape [4, 9]": lambda v: v.update(camera_pose=np.ones((4, 9))),
    "state has the shape [3, 5]": lambda v: v.update(state=np.ones((3, 5))),
}


@pytest.mark.parametrize("message", WRONG)
def test_wrong_values_are_refused(tmp_path: Path, message: str) -> None:
    values = columns()
    WRONG[message](values)
    with pytest.raises(SidecarError) as caught:
        write_conditions(tmp_path / "a.mp4", np.arange(4) / 10, values, SPEC)
    assert message in str(caught.value)
    assert list(tmp_path.glob("*.parquet")) == []


@pytest.mark.parametrize("times", [[0.1, 0.2, 0.3, 0.4], [0, 0.2, 0.2, 0.3], []])
def test_wrong_times_are_refused(tmp_path: Path, times: list[float]) -> None:
    with pytest.raises(SidecarError, match="do not begin at 0 and increase"):
        write_conditions(tmp_path / "a.mp4", times, columns(len(times)), SPEC)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (pa.table({"action": [[1.0]]}), "KeyError"),
        (pa.table({"timestamp": [0.0], "action": ["text"]}), "not a list of numbers"),
        (pa.table({"timestamp": [0.0, 1.0], "action": [[1.0], [1.0, 2.0]]}), "different lengths"),
    ],
)
def test_files_of_other_programs_are_refused_with_their_name(
    tmp_path: Path, table: pa.Table, message: str
) -> None:
    path = tmp_path / "a.conditions.parquet"
    pq.write_table(table.replace_schema_metadata({METADATA_KEY: json.dumps(SPEC)}), path)
    with pytest.raises(SidecarError) as caught:
        read_conditions(str(path))
    assert message in str(caught.value)
    assert str(path) in str(caught.value)
    path.write_bytes(b"PAR1 is not enough")
    with pytest.raises(SidecarError, match="cannot be read"):
        read_conditions(str(path))
