"""A window has the conditions of its frames, in shards too."""

import io
import json
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.numpy import load
from safetensors.torch import save

from manifests import Artifact, ClipmillError
from pipeline import Reject
from stages.conditions.add_conditions import AddConditions, LocatedWindow, WindowConditions
from stages.conditions.sidecar import write_conditions
from stages.latents.pack_latents import EncodedWindow, PackLatents
from stages.media.safetensors_header import read_header

RATE = 10.0
PROVENANCE = {  # a frame of 64 x 48 px, scaled to 32 x 24 and cropped to the middle 24 x 24, padded by 4 px
    "tokenizer": "small",
    "tokenizer_digest": "d1",
    "stride": [4, 8, 8],
    "dtype": "float16",
    "fps": RATE,
    "scaled_px": [32, 24],
    "crop_px": [4, 0, 24, 24],
    "video_px": [0, 4, 24, 24],
}


@pytest.fixture
def video(tmp_path: Path) -> Path:
    rows = np.arange(30)
    poses = np.zeros((30, 3, 4))
    poses[:, :, :3], poses[:, 2, 3] = np.eye(3), rows
    spec = {
        "rate": RATE,
        "action": {"names": ["dx", "dy"], "units": ["px", "px"], "frame": "image"},
        "camera_pose": {"unit": "m"},
        "camera_intrinsics": {"width": 64, "height": 48},
        "trajectory": {"points": 2, "step_s": 0.1, "unit": "m", "frame": "car"},
    }
    columns = {
        "action": np.stack([rows, -rows], 1),
        "camera_pose": poses.reshape(30, 12),
        "camera_intrinsics": np.tile([50.0, 50, 32, 24], (30, 1)),
        "trajectory": rows[:, None] + np.arange(6.0),
    }
    write_conditions(tmp_path / "a.mp4", rows / RATE, columns, spec)
    return tmp_path / "a.mp4"


def window(
    video: Path, start_s: float = 0.5, first: int = 3, fps: float = RATE, **changes: Any
) -> LocatedWindow:
    metadata = {"clipmill": json.dumps(PROVENANCE | changes)}
    latents = save({"latents": torch.zeros(6, 3, 3, 3)}, metadata=metadata)
    return LocatedWindow(
        uri=str(video),
        start_s=start_s,
        window_first_frame=first,
        window_frames=9,
        window_fps=fps,
        latents=Artifact.of(latents, ".safetensors"),
    )


def conditions_of(row: LocatedWindow, *names: str) -> WindowConditions | Reject:
    [found] = AddConditions(conditions=names or ("action", "camera")).annotate([row])
    return found


def arrays_of(found: WindowConditions | Reject) -> dict[str, Any]:
    assert isinstance(found, WindowConditions)
    assert found.conditions is not None
    return load(found.conditions.read())


@pytest.mark.parametrize("error", [-1e-3, 0, 1e-3])
def test_a_window_has_the_rows_of_its_frames(video: Path, error: float) -> None:
    found = arrays_of(conditions_of(window(video, start_s=0.5 + error)))
    assert found["camera_pose"][:, 2, 3].tolist() == list(range(8, 17))  # 0.5 s + 3 frames is row 8
    assert found["action"].tolist() == [[n, -n] for n in range(8, 16)]


def test_intrinsics_are_those_of_the_encoded_frame(video: Path) -> None:
    found = arrays_of(conditions_of(window(video), "camera"))
    assert "action" not in found
    assert "trajectory" not in found
    assert found["camera_intrinsics"][0].tolist() == [25, 25, 16 - 4, 12 + 4]


def test_the_trajectory_is_that_of_the_first_frame(video: Path) -> None:
    found = arrays_of(conditions_of(window(video), "trajectory"))
    assert list(found) == ["trajectory"]
    assert found["trajectory"].tolist() == [[8, 9, 10], [11, 12, 13]]


def test_poses_are_those_of_the_displayed_frames_at_any_rate(video: Path) -> None:
    found = arrays_of(conditions_of(window(video, 0.0, 0, fps=4.0), "camera"))
    assert found["camera_pose"][:, 2, 3].tolist() == [0, 2, 5, 7, 10, 12, 15, 17, 20]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"fps": 5.0}, "10 actions per second, but the window 5 frames per second: set latent_fps"),
        ({"start_s": 2.0}, "the conditions end at 2.9 s, but the window shows 2.3 to 3.1 s"),
        ({"scaled_px": [36, 24]}, "does not show the whole frame of 64 x 48 px"),
    ],
)
def test_what_does_not_fit_is_rejected(video: Path, row: dict[str, Any], message: str) -> None:
    found = conditions_of(window(video, **row))
    assert isinstance(found, Reject)
    assert message in str(found)


def test_a_damaged_file_rejects_its_windows_and_no_other(video: Path) -> None:
    other = video.with_name("b.mp4")
    other.with_name("b.conditions.parquet").write_bytes(b"no parquet")
    bad, good = AddConditions().annotate([window(other), window(video)])
    assert isinstance(bad, Reject)
    assert "b.conditions.parquet" in str(bad)
    assert isinstance(good, WindowConditions)


def test_what_is_missing_is_a_column(video: Path) -> None:
    found = conditions_of(window(video.with_name("none.mp4")))
    assert isinstance(found, WindowConditions)
    assert (found.conditions, found.missing_conditions) == (None, "action,camera")


def encoded(video: Path, number: int, first: int, latent_frames: int = 3) -> EncodedWindow:
    """A window with its actions and camera, as `PackLatents` reads it."""
    located = window(video, 0.0, first)
    found = conditions_of(located)
    assert isinstance(found, WindowConditions)
    return EncodedWindow(
        id=f"{number:016x}",
        latents=located.latents,
        latent_channels=6,
        latent_frames=latent_frames,
        latent_height=3,
        latent_width=3,
        conditions=found.conditions,
        action_means=found.action_means,
        action_mean_squares=found.action_mean_squares,
        caption="a film",
        source="a.mp4",
        start_s=0.0,
        end_s=3.0,
    )


def test_shards_have_the_conditions_and_the_statistics_of_actions(video: Path, tmp_path: Path) -> None:
    rows = [encoded(video, number, first) for number, first in enumerate((0, 9))]
    stage = PackLatents()
    fitted = stage.fit([], stage.tally(rows))
    [group, _] = stage.assign(rows, fitted)
    packed, _ = stage.settle(group, rows, fitted)
    metadata = pq.read_table(io.BytesIO(packed.latents_index.read())).schema.metadata
    stated = json.loads(metadata[b"clipmill.latents"])["conditions"]
    values = np.array([*range(8), *range(9, 17)], float)
    assert stated["action"]["names"] == ["dx", "dy"]
    assert stated["action"]["mean"] == pytest.approx([values.mean(), -values.mean()], abs=1e-4)
    assert stated["action"]["std"] == pytest.approx([values.std()] * 2, abs=1e-4)
    assert (stated["rate"], stated["camera_pose"]) == (RATE, {"unit": "m"})
    with tarfile.open(fileobj=io.BytesIO(packed.latents_shard.read())) as tar:
        member = tar.extractfile(f"{0:016x}.conditions.safetensors")
        assert member is not None
        data = member.read()
    assert load(data)["action"].tolist() == [[n, -n] for n in range(8)]
    assert json.loads(read_header(data)["__metadata__"]["clipmill"])["rate"] == RATE


@pytest.mark.parametrize("latent_frames", [3, 4])  # in one shard, and in two
@pytest.mark.parametrize(
    "action",
    [
        {"names": ["dx", "dy"], "units": ["mm", "mm"], "frame": "image"},
        {"names": ["dx", "dy", "grip"], "units": ["px", "px", "1"], "frame": "image"},
    ],
)
def test_clips_whose_actions_mean_something_else_are_not_packed_together(
    video: Path, action: dict[str, Any], latent_frames: int
) -> None:
    other = video.with_name("b.mp4")
    size, count = len(action["names"]), 30
    write_conditions(
        other,
        np.arange(count) / RATE,
        {"action": np.ones((count, size))},
        {"rate": RATE, "action": action},
    )
    rows = [encoded(video, 0, 0), encoded(video, 1, 9)]
    found = conditions_of(window(other, 0.0, 0), "action")
    assert isinstance(found, WindowConditions)
    changed = {name: getattr(found, name) for name in ("conditions", "action_means", "action_mean_squares")}
    rows.append(replace(encoded(video, 2, 0, latent_frames), **changed))
    stage = PackLatents()
    with pytest.raises(
        ClipmillError, match=r"the conditions of the clips differ: 2 clips have .* and 1 have"
    ):
        stage.fit([], stage.tally(rows))
