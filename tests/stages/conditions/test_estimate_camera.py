"""The camera poses of a clip are estimated from its frames."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from manifests import Artifact
from pipeline.errors import RecipeError
from stages.conditions.estimate_camera import ClipFile, EstimateCamera, EstimatedCamera
from stages.media.encoding.arrays import write_mp4
from stages.recipes.latents import Encoding, latents


def clip_of(path: Path, frames: Any, fps: int = 12) -> ClipFile:
    write_mp4(path, frames, Fraction(fps))
    return ClipFile(clip=Artifact.of(path.read_bytes(), ".mp4"))


def estimate(row: ClipFile, **settings: Any) -> EstimatedCamera:
    [found] = EstimateCamera(**settings).annotate([row])
    assert isinstance(found, EstimatedCamera)
    return found


def test_a_clip_without_a_path_has_no_poses_and_is_no_error(tmp_path: Path) -> None:
    pytest.importorskip("pycolmap", reason="needs the extra simulation")
    gray = np.full((4, 48, 64, 3), 128, np.uint8)
    found = estimate(clip_of(tmp_path / "a.mp4", gray))
    assert (found.camera_path, found.camera_estimated, found.camera_registered_share) == (None, False, 0)
    long = estimate(clip_of(tmp_path / "b.mp4", gray), max_frames=3)
    assert (long.camera_path, long.camera_estimated) == (None, False)


def test_poses_that_are_not_packed_are_refused() -> None:
    with pytest.raises(RecipeError, match="estimate_camera packs nothing without conditions=camera"):
        latents(footage="x", encoding=Encoding(estimate_camera=True))
