"""Footage for the tests of stages: small films drawn on the spot, and the real ones where they are."""

import os
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from manifests import Artifact
from stages.media.encode import write_mp4
from stages.scan.scan_video import Listed, Scanned, ScanVideo


def _texture(seed: int, height: int, width: int) -> np.ndarray:
    """A picture with detail at every scale, uint8 RGB, of a colour that depends on the seed."""
    rng = np.random.default_rng(seed)
    grain = (4, 16, 64, 256)  # cells across, each layer as strong as the others
    layers = [
        cv2.resize(rng.random((n, n, 3)), (width, height), interpolation=cv2.INTER_CUBIC) for n in grain
    ]
    picture = sum(layers[1:], layers[0]) * rng.uniform(0.6, 1.0, 3)
    picture = (picture - picture.min()) / (picture.max() - picture.min())
    return np.ascontiguousarray((picture * 215 + 20).astype(np.uint8))


def _moving(
    seed: int,
    count: int,
    *,
    size: tuple[int, int] = (96, 160),
    step: tuple[float, float] = (0, 0),
    zoom: float = 1.0,
) -> Iterator[np.ndarray]:
    """A camera over a texture: each frame `step` (right, down) px on, and grown by `zoom`."""
    height, width = size
    world = _texture(seed, 3 * height, 3 * width)
    for k in range(count):
        scale = zoom**k
        centre = (1.5 * width + k * step[0], 1.5 * height + k * step[1])
        shift = [centre[0] - width / 2 / scale, centre[1] - height / 2 / scale]
        warp = np.array([[1 / scale, 0, shift[0]], [0, 1 / scale, shift[1]]])
        yield cv2.warpAffine(world, warp, (width, height), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)


@pytest.fixture
def moving() -> Callable[..., Iterator[np.ndarray]]:
    """Draw the frames of a moving camera; see `_moving`."""
    return _moving


@pytest.fixture(autouse=True)
def drafts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What stages leave for the engine to fetch is left in a folder of the test's."""
    folder = tmp_path / "drafts"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


@pytest.fixture
def film(tmp_path: Path) -> Callable[..., Path]:
    """Write frames as an mp4 below the test's folder."""

    def write(frames: Any, name: str = "film.mp4", fps: Fraction | int = 24, **how: Any) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_mp4(path, frames, fps, preset="veryfast", **how)
        return path

    return write


@pytest.fixture
def scan() -> Callable[..., Scanned]:
    """Scan a file, and let a reject out as what it is."""

    def run(path: Path, **settings: Any) -> Scanned:
        [answer] = ScanVideo(**settings).annotate([Listed(uri=str(path))])
        if not isinstance(answer, Scanned):
            raise answer
        return answer

    return run


@pytest.fixture
def stored(tmp_path: Path) -> Callable[..., Artifact]:
    """Signals as a scan would have stored them, from columns."""
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
    """The folder of real films."""
    folder = Path(
        os.environ.get("CLIPMILL_FOOTAGE") or Path(__file__).parents[2] / "../shared/footage"
    ).resolve()
    if not folder.is_dir():
        pytest.skip("no real footage: set CLIPMILL_FOOTAGE to its folder")
    return folder
