"""Frames are decoded from videos, and random crops of them depend only on seed and step."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from training.tokenizers.crops import RandomCrops
from training.tokenizers.frames import write_frames


def _write_video(path: Path, frames: int = 24) -> Path:
    """A brightness ramp that moves to the right, in H.264."""
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=12, options={"crf": "10", "threads": "1"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.time_base = Fraction(1, 12)
        for k in range(frames):
            image = np.broadcast_to((np.arange(64) * 3 + 2 * k).astype(np.uint8)[None, :, None], (48, 64, 3))
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def test_frames_of_a_video(tmp_path: Path) -> None:
    video = _write_video(tmp_path / "film.mp4")
    written = write_frames(video, tmp_path, short_side=32, frames=20, spans=2)
    assert [path.name for path in written] == ["film.mp4.0.npy", "film.mp4.1.npy"]
    first, last = (np.load(path) for path in written)
    assert first.shape == last.shape == (10, 32, 43, 3)
    assert np.abs(first[1, 16, 5:30].astype(int) - first[0, 16, 5:30] - 2).max() <= 2
    assert last[0].mean() > first[0].mean() + 20  # 14 frames later


def test_crops_depend_only_on_seed_and_step(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    np.save(tmp_path / "a.npy", rng.integers(0, 256, (20, 48, 64, 3), dtype=np.uint8))
    np.save(tmp_path / "short.npy", rng.integers(0, 256, (3, 48, 64, 3), dtype=np.uint8))
    crops = RandomCrops(tmp_path, size=32, frames=5, seed=1)
    batch = crops.batch(7, 3)
    assert batch.shape == (3, 3, 5, 32, 32)
    assert -1 <= float(batch.min()) < -0.5 < 0.5 < float(batch.max()) <= 1
    assert torch.equal(RandomCrops(tmp_path, size=32, frames=5, seed=1).batch(7, 3), batch)
    assert not torch.equal(crops.batch(8, 3), batch)
    with pytest.raises(FileNotFoundError, match="33 frames of 32 px"):
        RandomCrops(tmp_path, size=32, frames=33)
