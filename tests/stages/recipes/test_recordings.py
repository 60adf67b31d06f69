"""Runs of the recipe for recordings of several cameras, on small drawn films."""

import io
import json
import shutil
import tarfile
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
import torch

from manifests.catalog import tables_of
from manifests.stores.folder import FolderStore
from pipeline.cli import main
from stages.media.encoding.arrays import write_mp4
from training.data.batches import collate
from training.data.order import SampleIndex
from training.data.shards import LatentShards
from training.errors import LatentMismatchError, SettingError
from training.recipes.batches import open_shards
from training.recipes.config import TrainingConfig

RECIPE = "stages/recipes/recordings.py"
KNOBS = ("fps=12", "min_duration_s=1", "validation_share=0.5", "encode_latents=true", "latent_px=64")
PX_PER_S = 40  # speed at which the world passes the cameras
LIST = """uri,recording,camera,start_s,fx
left.mp4,street,left,0,700
right.mp4,street,right,0.4,650
bright.mp4,night,left,,1
dark.mp4,night,right,,2
alone.mp4,broken,left,,3
broken.mp4,broken,right,,4
"""


def world(seed: int) -> np.ndarray:
    """A texture with detail at every scale, uint8 RGB [300 900 3]."""
    rng = np.random.default_rng(seed)
    layers = [
        cv2.resize(rng.random((n, 3 * n, 3)), (900, 300), interpolation=cv2.INTER_CUBIC) for n in (6, 24, 96)
    ]
    image = np.sum(layers, axis=0) * rng.uniform(0.6, 1.0, 3)
    image = (image - image.min()) / (image.max() - image.min())
    return np.ascontiguousarray((image * 215 + 20).astype(np.uint8))


def write_camera(
    path: Path,
    seed: int,
    *,
    seconds: float = 4.0,
    start_s: float = 0.0,
    fps: Fraction | int = 24,
    left_px: int = 0,
    size: tuple[int, int] = (160, 96),
    cut_s: float | None = None,
    brightness: float = 1.0,
) -> None:
    """Write the film of one camera.

    Args:
        path: The file.
        seed: Number of the world.
        seconds: Length of the film.
        start_s: Time of its first frame.
        fps: Frame rate.
        left_px: Where the camera stands.
        size: Width and height in px.
        cut_s: Time from which another world is shown.
        brightness: Factor of all values.
    """
    before, after = world(seed), world(seed + 1000)

    def frames() -> "list[np.ndarray]":
        shown = []
        for number in range(round(seconds * fps)):
            time_s = start_s + float(number / Fraction(fps))
            image = before if cut_s is None or time_s < cut_s - 1e-6 else after
            x = left_px + round(PX_PER_S * time_s)
            view = image[60 : 60 + size[1], x : x + size[0]] * brightness
            shown.append(np.ascontiguousarray(view.astype(np.uint8)))
        return shown

    path.parent.mkdir(parents=True, exist_ok=True)
    write_mp4(path, frames(), fps, preset="veryfast")


def draw(folder: Path) -> Path:
    """Six films and their list. The right camera of the street stands 40 px to the right of the left one."""
    write_camera(folder / "left.mp4", 1, seconds=6, cut_s=3)
    write_camera(folder / "right.mp4", 1, seconds=5, start_s=0.4, fps=25, left_px=40, size=(160, 96), cut_s=3)
    write_camera(folder / "bright.mp4", 2, seconds=2)
    write_camera(folder / "dark.mp4", 2, seconds=2, left_px=40, brightness=0.15)
    write_camera(folder / "alone.mp4", 3, seconds=2)
    (folder / "broken.mp4").write_bytes(b"no video")
    (folder / "list.csv").write_text(LIST)
    return folder / "list.csv"


def run(films: Path, store: Path, *knobs: str) -> None:
    words = ["run", RECIPE, f"footage={films}", f"store={store}", "--inline", "--quiet", *KNOBS, *knobs]
    assert main(words) == 0


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw(tmp_path_factory.mktemp("films"))


@pytest.fixture(scope="module")
def store(films: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("store")
    run(films, folder)
    return folder


def rows(store: Path, step: str) -> list[dict[str, Any]]:
    (table,) = [t for t in tables_of(FolderStore(store)) if t.folder.startswith(f"{step}-")]
    return list(table.read().to_pylist())


def samples(store: Path, step: str = "pack_recordings") -> dict[str, dict[str, bytes]]:
    """The members of each key of all shards, by their names without the key."""
    found: dict[str, dict[str, bytes]] = {}
    for path in sorted(store.glob(f"{step}-*/**/*.tar")):
        with tarfile.open(path) as tar:
            for info in tar:
                key, _, name = info.name.partition(".")
                file = tar.extractfile(info)
                assert file is not None
                found.setdefault(key, {})[name] = file.read()
    return found


def frames(video: bytes) -> np.ndarray:
    with av.open(io.BytesIO(video)) as container:
        assert isinstance(container, av.container.InputContainer)
        return np.stack([frame.to_ndarray(format="gray") for frame in container.decode(video=0)])


def explain(store: Path, query: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["explain", query, f"store={store}"]) == 0
    return capsys.readouterr().out


def test_a_sample_has_the_clips_of_all_cameras_with_equal_frames(store: Path) -> None:
    found = samples(store)
    assert [sorted(members) for members in found.values()] == [["json", "left.mp4", "right.mp4", "txt"]] * 2
    by_start = sorted((json.loads(m["json"]) for m in found.values()), key=lambda m: m["recording_start_s"])
    assert [(m["recording_start_s"], m["frames"], m["fps"]) for m in by_start] == [
        (0.4, 31, 12.0),
        (3.0, 28, 12.0),
    ]
    for key, members in found.items():
        metadata = json.loads(members["json"])
        assert (metadata["id"], metadata["views"]) == (key, ["left", "right"])
        assert [metadata["cameras"][name]["calibration"]["fx"] for name in ("left", "right")] == [
            700,
            650,
        ]
        assert members["txt"].decode() == metadata["caption"] == metadata["cameras"]["left"]["caption"]
        assert len(frames(members["left.mp4"])) == len(frames(members["right.mp4"])) == metadata["frames"]


def test_the_frames_of_two_cameras_show_the_same_time(store: Path) -> None:
    for members in samples(store).values():
        left, right = (frames(members[f"{name}.mp4"]).astype(int) for name in ("left", "right"))
        for one, other in zip(left, right, strict=True):
            errors = {
                x: np.abs(one[:, x : x + 60] - other[:, 30:90]).mean() for x in range(50, 91)
            }  # the world moves 40 px/s, so 2 px are 0.05 s
            assert abs(min(errors, key=errors.__getitem__) - 70) <= 2


def test_what_one_camera_fails_drops_the_clips_of_all(
    store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dropped = {row["id"]: row["value"] for row in rows(store, "too_dark")}
    assert len(dropped) == 2
    (dark,) = [row for row, value in dropped.items() if "; with" not in value]
    (bright,) = dropped.keys() - {dark}
    assert f"; with {dark}: highlight_luma=" in dropped[bright]
    assert "dropped by too_dark" in explain(store, bright, capsys)
    assert f"with {dark}" in explain(store, bright, capsys)


def test_a_recording_without_one_of_its_cameras_is_rejected(
    store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "lacks the camera right, which an earlier step dropped or rejected" in explain(
        store, "alone.mp4", capsys
    )
    assert "1 rejected by probe_video" in explain(store, "broken", capsys)


def test_no_camera_is_lost(store: Path) -> None:
    assert len(rows(store, "list_recordings")) == 3
    assert len(rows(store, "list_cameras")) == 6
    kinds = [row["kind"] for row in rows(store, "split_recording")]
    assert (
        sorted(kinds) == ["partial"] * 2 + ["shot"] * 6
    )  # the left camera of the street begins and ends alone
    assert len(rows(store, "pack_recordings")) == 4
    assert len({row["split"] for row in rows(store, "split_clips") if row["split_by"]}) >= 1


def test_all_cameras_of_a_recording_are_on_one_side_of_the_split(store: Path) -> None:
    recordings = {row["id"]: row["parent"] for row in rows(store, "list_cameras")}
    cameras = {row["id"]: row["parent"] for row in rows(store, "split_recording")}
    sides: dict[str, set[str]] = {}
    for row in rows(store, "split_clips"):
        sides.setdefault(recordings[cameras[row["id"]]], set()).add(row["split"])
    assert sides
    assert all(len(side) == 1 for side in sides.values())


def test_the_store_is_valid_and_a_changed_member_is_found(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["manifest", "check", str(store)]) == 0
    copy = tmp_path / "copy"
    shutil.copytree(store, copy)
    tar = next(copy.glob("pack_recordings-*/**/*.tar"))
    data = bytearray(tar.read_bytes())
    tar.chmod(0o644)
    data[600] ^= 255  # inside the first clip
    tar.write_bytes(data)
    capsys.readouterr()
    assert main(["manifest", "check", str(copy)]) == 1
    assert "left.mp4 is not the clip that was cut" in capsys.readouterr().out


def test_any_camera_that_passes_keeps_the_clips_of_all(films: Path, store: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(store, copy)
    run(films, copy, "cameras_must_pass=any")
    assert len(samples(copy)) == 3


def test_try_predicts_what_one_camera_does_to_the_others(
    store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["try", RECIPE, f"store={store}", *KNOBS, "min_highlight_luma=0.01", "--json"]) == 0
    answer: Mapping[str, Any] = json.loads(capsys.readouterr().out)
    text = json.dumps(answer)
    assert "too_dark" in text
    assert '"count": 2' in text or '"rows": 2' in text


@pytest.mark.slow
def test_a_changed_start_scans_no_film_again(films: Path, store: Path, tmp_path: Path) -> None:
    copy, moved = tmp_path / "copy", tmp_path / "films"
    shutil.copytree(store, copy)
    shutil.copytree(films.parent, moved)
    (moved / "list.csv").write_text(LIST.replace("right,0.4", "right,1.0"))
    run(moved / "list.csv", copy)
    scans = [t.read().to_pylist() for t in tables_of(FolderStore(copy)) if t.folder.startswith("scan_video-")]
    one, other = ({row["id"]: row["signals"]["path"] for row in scan} for scan in scans)
    assert one == other
    starts = {json.loads(m["json"])["recording_start_s"] for m in samples(copy).values()}
    assert starts == {0.4, 3.0, 1.0, 3.6}  # of both runs
    uris = [
        {r["uri"] for r in t.read().to_pylist()}
        for t in tables_of(FolderStore(copy))
        if t.folder.startswith("list_cameras-")
    ]
    assert uris[0].isdisjoint(uris[1])


def test_the_trainer_reads_one_view_or_several_after_each_other(store: Path) -> None:
    pairs = sorted(
        (str(path), str(path.with_suffix(".parquet"))) for path in store.glob("pack_views-*/**/*.tar")
    )
    both = LatentShards(pairs, views=("right", "left"))
    left, right = (LatentShards(pairs, views=(name,)) for name in ("left", "right"))
    for bucket, (c, t, h, w) in enumerate(left.shapes):
        assert both.shapes[bucket] == (c, 2 * t, h, w)
        one, two, every = (shards.read(bucket, SampleIndex(0, 0)) for shards in (right, left, both))
        assert one.id == two.id == every.id
        assert torch.equal(torch.cat([one.latents, two.latents], 1), every.latents)
        assert not torch.equal(one.latents, two.latents)
        batch = collate([every, every], [0, 1])
        assert batch.conditioning.view_indices is not None
        assert batch.conditioning.view_indices.tolist() == [[0, 1]] * 2
        assert len(batch.captions) == 4
    assert collate([left.read(0, SampleIndex(0, 0))], [0]).conditioning.view_indices is None
    short = LatentShards(pairs, views=("left", "right"), max_frames=1)
    assert {shape[1] for shape in short.shapes} == {2}


def test_the_trainer_refuses_views_that_are_not_chosen(store: Path) -> None:
    pairs = [(str(p), str(p.with_suffix(".parquet"))) for p in store.glob("pack_views-*/**/*.tar")]
    with pytest.raises(LatentMismatchError, match="several views: left, right"):
        LatentShards(pairs)
    with pytest.raises(LatentMismatchError, match="no view 'rear'"):
        LatentShards(pairs, views=("rear",))
    with pytest.raises(SettingError, match="a camera twice"):
        open_shards(TrainingConfig(data=pairs, views="left,left"))


def test_a_sample_of_latents_has_the_windows_of_all_cameras(store: Path) -> None:
    found = samples(store, "pack_views")
    assert found
    for key, members in found.items():
        assert sorted(members) == ["json", "left.safetensors", "right.safetensors", "txt"]
        metadata = json.loads(members["json"])
        assert (metadata["id"], metadata["views"]) == (key, ["left", "right"])
        assert metadata["cameras"]["right"]["calibration"] == {"fx": 650}
