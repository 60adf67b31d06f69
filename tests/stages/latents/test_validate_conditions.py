"""`manifest check` names conditions of packed latents that a training would trip over, or be spoiled by."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import load, save

from pipeline.cli import main
from stages.conditions.sidecar import write_conditions
from stages.latents.validate_conditions import condition_faults
from stages.media.safetensors_header import read_header
from stages.media.tar import Member, index_bytes, write_tar
from training.data.find_shards import find_shards
from training.data.shards import LatentShards
from training.errors import LatentMismatchError

RATE, FRAMES = 12.0, {"0": 34, "1": 9, "2": 47, "3": 30}


def write_sidecars(folder: Path, scale: float = 1.0) -> None:
    """Actions of which the deviation is `scale`, and a camera that moves and turns."""
    rng = np.random.default_rng(0)
    for name, count in FRAMES.items():
        angle = np.arange(count) * 0.02
        poses = np.zeros((count, 3, 4))
        poses[:, 0, 0], poses[:, 0, 2], poses[:, 1, 1] = np.cos(angle), np.sin(angle), 1
        poses[:, 2, 0], poses[:, 2, 2], poses[:, 2, 3] = -np.sin(angle), np.cos(angle), angle
        spec = {
            "rate": RATE,
            "action": {"names": ["dx", "dy"], "units": ["m", "m"], "frame": "world"},
            "camera_pose": {"unit": "m"},
            "camera_intrinsics": {"width": 112, "height": 64},
        }
        columns = {
            "action": rng.normal(0.5, scale, (count, 2)),
            "camera_pose": poses.reshape(count, 12),
            "camera_intrinsics": np.tile([90.0, 90, 56, 32], (count, 1)),
        }
        write_conditions(folder / f"{name}.mp4", np.arange(count) / RATE, columns, spec)


@pytest.fixture(scope="module")
def packed(
    pack_store: Callable[..., Path], films: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """Two stores whose actions differ in scale."""
    stores = {}
    for name, scale in (("one", 1.0), ("other", 3.0)):
        root = tmp_path_factory.mktemp(name)
        for film in films.glob("*.mp4"):
            shutil.copy(film, root)
        write_sidecars(root, scale)
        stores[name] = pack_store(root=root, conditions=("action", "camera"))
    return stores


@pytest.fixture
def store(packed: dict[str, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(packed["one"], tmp_path / "store"))


def check(store: Path, capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, str]:
    capsys.readouterr()
    code = main(["manifest", "check", str(store), "--json", *options])
    return code, json.dumps(json.loads(capsys.readouterr().out)["faults"])


def change(tar: Path, edit: Callable[[dict[str, Any], dict[str, Any]], None], **stated: Any) -> None:
    """Rewrite a shard after a change of arrays and spec of each clip, and of what the index states."""
    index = tar.with_suffix(".parquet")
    table, data = pq.read_table(index), tar.read_bytes()
    footer = json.loads(table.schema.metadata[b"clipmill.latents"])
    contents = []
    for row in table.to_pylist():
        content = data[row["offset"] : row["offset"] + row["size"]]
        if row["member"].endswith(".conditions.safetensors"):
            arrays = load(content)
            spec = json.loads(read_header(content)["__metadata__"]["clipmill"])
            edit(arrays, spec)
            content = save(arrays, metadata={"clipmill": json.dumps(spec)})
        contents.append((row["member"], content))
    footer["conditions"] = footer["conditions"] | stated
    tar.unlink()
    index.unlink()
    written: list[Member] = write_tar(tar, contents)
    index.write_bytes(index_bytes(written, {"clipmill.latents": json.dumps(footer)}))


def tars(store: Path) -> list[Path]:
    return sorted(store.glob("pack_latents-*/latents/*/*.tar"))


def nothing(arrays: dict[str, Any], spec: dict[str, Any]) -> None: ...


def turn(arrays: dict[str, Any], spec: dict[str, Any]) -> None:
    arrays["camera_pose"][2, 0, 0] = 2


def not_finite(arrays: dict[str, Any], spec: dict[str, Any]) -> None:
    arrays["action"][0] = np.nan


def shorter(arrays: dict[str, Any], spec: dict[str, Any]) -> None:
    arrays["action"] = np.ascontiguousarray(arrays["action"][1:])


def rename(arrays: dict[str, Any], spec: dict[str, Any]) -> None:
    spec["action"]["units"] = ["px", "px"]


def scale(arrays: dict[str, Any], spec: dict[str, Any]) -> None:
    arrays["action"] *= 55


def test_intact_conditions_have_no_fault(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(store, capsys) == (0, "[]")


@pytest.mark.parametrize(
    ("edit", "stated", "message"),
    [
        (turn, {}, "the camera pose of its frame 2 is no rotation"),
        (not_finite, {}, "its action has NaN or infinity"),
        (shorter, {}, "its action must be [16, 2] for 17 frames, and is [15, 2]"),
        (rename, {}, "its conditions have action"),
        (scale, {}, "a training would normalize them wrongly"),
        (nothing, {"rate": 10.0}, "its conditions have rate 12.0, and the index has 10.0"),
        (nothing, {"rate": 10.0}, "the shard states other conditions"),
    ],
)
def test_a_changed_shard_is_named(
    store: Path,
    capsys: pytest.CaptureFixture[str],
    edit: Callable[[dict[str, Any], dict[str, Any]], None],
    stated: dict[str, Any],
    message: str,
) -> None:
    change(next(tar for tar in tars(store) if "x5x" in str(tar)), edit, **stated)
    code, faults = check(store, capsys)
    assert code == 1
    assert message in faults


def test_a_damaged_file_of_the_windows_is_named(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = next(file for file in store.glob("add_conditions-*/**/*.safetensors"))
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.unlink()
    file.write_bytes(data)
    code, faults = check(store, capsys, "--deep")
    assert code == 1
    assert file.name in faults


def test_conditions_of_one_side_only() -> None:
    assert list(condition_faults(None, None, 5, RATE, None)) == []
    assert list(condition_faults(None, {}, 5, RATE, None)) == [
        "it has no conditions, and the index describes some"
    ]
    assert list(condition_faults(b"?", None, 5, RATE, None)) == [
        "it has conditions, which the index does not describe"
    ]
    assert "cannot be read" in next(condition_faults(b"?", {"rate": RATE}, 5, RATE, None))


def test_sets_with_other_statistics_are_not_mixed(packed: dict[str, Path]) -> None:
    folders = [next(store.glob("pack_latents-*")) for store in packed.values()]
    shards = LatentShards([*find_shards(str(folders[0])), *find_shards(str(folders[1]))])
    with pytest.raises(LatentMismatchError, match=r"mean of action is .*, but .* in "):
        shards.read_conditions(("action",))
    LatentShards(find_shards(str(folders[1]))).read_conditions(("action", "camera"))
