"""Fixtures for the tests of stages: small drawn videos, and real footage if it is available."""

import os
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from manifests import Artifact
from stages.media.encoding.arrays import write_mp4
from stages.scan.scan_video import ListedVideo, ScannedVideo, ScanVideo


def _texture(seed: int, height: int, width: int) -> np.ndarray:
    """Return an image with detail at every scale, uint8 RGB, whose color depends on the seed."""
    rng = np.random.default_rng(seed)
    grain = (4, 16, 64, 256)  # cells per side of each layer; all layers have the same weight
    layers = [
        cv2.resize(rng.random((n, n, 3)), (width, height), interpolation=cv2.INTER_CUBIC) for n in grain
    ]
    image = sum(layers[1:], layers[0]) * rng.uniform(0.6, 1.0, 3)
    image = (image - image.min()) / (image.max() - image.min())
    return np.ascontiguousarray((image * 215 + 20).astype(np.uint8))


def _moving(
    seed: int,
    count: int,
    *,
    size: tuple[int, int] = (96, 160),
    step: tuple[float, float] = (0, 0),
    zoom: float = 1.0,
) -> Iterator[np.ndarray]:
    """Move a camera over a texture: each frame moves `step` (right, down) px and scales by `zoom`."""
    height, width = size
    world = _texture(seed, 3 * height, 3 * width)
    for k in range(count):
        scale = zoom**k
        center = (1.5 * width + k * step[0], 1.5 * height + k * step[1])
        shift = [center[0] - width / 2 / scale, center[1] - height / 2 / scale]
        warp = np.array([[1 / scale, 0, shift[0]], [0, 1 / scale, shift[1]]])
        yield cv2.warpAffine(world, warp, (width, height), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)


@pytest.fixture
def moving() -> Callable[..., Iterator[np.ndarray]]:
    """Return a function that draws the frames of a moving camera; see `_moving`."""
    return _moving


@pytest.fixture(autouse=True)
def drafts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Set a temporary folder of the test for the files that stages leave for the engine."""
    folder = tmp_path / "drafts"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


@pytest.fixture
def film(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes frames as an mp4 into the folder of the test."""

    def write(frames: Any, name: str = "film.mp4", fps: Fraction | int = 24, **options: Any) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_mp4(path, frames, fps, preset="veryfast", **options)
        return path

    return write


@pytest.fixture
def scan() -> Callable[..., ScannedVideo]:
    """Return a function that scans a file and raises its reject."""

    def run(path: Path, **settings: Any) -> ScannedVideo:
        [answer] = ScanVideo(**settings).annotate([ListedVideo(uri=str(path))])
        if not isinstance(answer, ScannedVideo):
            raise answer
        return answer

    return run


@pytest.fixture
def stored(tmp_path: Path) -> Callable[..., Artifact]:
    """Return a function that stores columns as the signals of a scan."""
    from stages.media.signals import SignalsWriter

    def write(times_s: Any, **columns: Any) -> Artifact:
        path = tmp_path / f"signals-{len(list(tmp_path.iterdir()))}.parquet"
        with SignalsWriter(path, dict.fromkeys(columns, "of a test [1]")) as writer:
            for k, time_s in enumerate(times_s):
                writer.append(round(time_s * 1000), time_s, [values[k] for values in columns.values()])
        return Artifact.of_file(path)

    return write


@pytest.fixture
def footage() -> Path:
    """The folder of real videos; skips the test if there is none."""
    folder = Path(
        os.environ.get("CLIPMILL_FOOTAGE") or Path(__file__).parents[2] / "../shared/footage"
    ).resolve()
    if not folder.is_dir():
        pytest.skip("no real footage: set CLIPMILL_FOOTAGE to its folder")
    return folder
