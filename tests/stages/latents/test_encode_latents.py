"""Latents of a real clip have the right frames and size, and the same bytes every time."""

import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from manifests import Artifact
from pipeline import Reject
from stages.latents.encode_latents import CutClip, EncodedClip, EncodeLatents, _displayed_frames
from stages.media.decoding.video import open_video

MakeClip = Callable[..., Artifact]


def encode(stage: EncodeLatents, *clips: Artifact) -> list[EncodedClip | Reject]:
    return list(stage.annotate([CutClip(id=f"c{n}", clip=clip) for n, clip in enumerate(clips)]))


@pytest.fixture
def stage(tokenizer: str) -> EncodeLatents:
    return EncodeLatents(tokenizer=tokenizer, short_side_px=64, fps=12.0, max_frames=17)


def test_latents_have_their_shape_and_provenance(
    stage: EncodeLatents, make_clip: MakeClip, tmp_path: Path
) -> None:
    (row,) = encode(stage, make_clip(frames=24, fps=24))
    assert isinstance(row, EncodedClip)
    # 1 s at 12 fps is 12 frames: 9 of them are 1 + 2 * 4. 120 x 68 becomes 112 x 64.
    assert (row.latent_channels, row.latent_frames, row.latent_height, row.latent_width) == (6, 3, 8, 14)
    (tmp_path / "l.safetensors").write_bytes(row.latents.read())
    with safe_open(tmp_path / "l.safetensors", "np") as file:
        latents, metadata = file.get_tensor("latents"), json.loads(file.metadata()["clipmill"])
    assert latents.shape == (6, 3, 8, 14)
    assert latents.dtype == np.float16
    assert metadata == {
        "tokenizer": "tokenizer.safetensors",
        "tokenizer_digest": stage.digest(),
        "stride": [4, 8, 8],
        "dtype": "float16",
        "fps": 12.0,
        "frames": 9,
        "scaled_px": [113, 64],
        "crop_px": [0, 0, 112, 64],
    }


def test_the_same_clip_gives_the_same_bytes_in_any_batch(
    tokenizer: str, stage: EncodeLatents, make_clip: MakeClip
) -> None:
    import torch

    first, other = make_clip(), make_clip(seed=1)
    alone = encode(stage, first)[0]
    torch.set_num_threads(2)
    again = encode(EncodeLatents(**stage.settings()), other, first)
    assert isinstance(alone, EncodedClip)
    assert again[1] == alone
    assert again[0] != alone
    assert torch.get_num_threads() == 2


def test_the_tokenizer_determines_the_key(stage: EncodeLatents) -> None:
    assert len(stage.digest()) == 64
    stage.open()


@pytest.mark.parametrize(
    ("frames", "fps", "expected"),
    [
        (24, 24, [0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22]),
        (5, 6, [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]),
        (5, 10, [0, 0, 1, 2, 3, 4]),
    ],
)
def test_frames_are_those_displayed_at_each_time(
    make_clip: MakeClip, frames: int, fps: int, expected: list[int]
) -> None:
    with make_clip(frames, fps).local() as path, open_video(str(path)) as video:
        step = 1 / (Fraction(fps) * video.time_base)
        displayed = [
            int(f.pts / step) for f, times in _displayed_frames(video, Fraction(12), 99) for _ in range(times)
        ]
    assert displayed == expected


def test_portrait_clips_stay_upright(stage: EncodeLatents, make_clip: MakeClip) -> None:
    (row,) = encode(stage, make_clip(width=72, height=160))
    assert isinstance(row, EncodedClip)
    assert (row.latent_height, row.latent_width) == (16, 8)


def test_long_clips_are_truncated_and_short_ones_rejected(stage: EncodeLatents, make_clip: MakeClip) -> None:
    long, short = encode(stage, make_clip(frames=90), make_clip(frames=8))
    assert isinstance(long, EncodedClip)
    assert long.latent_frames == 5
    assert isinstance(short, Reject)
    assert str(short) == "the clip is shorter than 5 frames at 12 frames per second"


def test_a_file_that_is_not_a_video_is_rejected(stage: EncodeLatents, tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("not a video at all")
    (row,) = encode(stage, Artifact.of_file(tmp_path / "text.mp4"))
    assert isinstance(row, Reject)
