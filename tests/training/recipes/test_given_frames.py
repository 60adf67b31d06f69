"""A sampled video begins with the frames of an image or video, with each sampler."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from training.errors import SettingError, TrainingError
from training.recipes.given_frames import read_frames
from training.recipes.sampling import SamplingRequest, sample, write_video
from training.recipes.world import train
from training.tokenizers import load_tokenizer, tokenizer_digest

MakeShard = Callable[..., tuple[str, str]]


def ramp(number: int, height: int = 48, width: int = 64) -> np.ndarray[Any, Any]:
    """A frame whose left side is gray and whose right side has the number as a gray value."""
    pixels = np.full((height, width, 3), 90, np.uint8)
    pixels[:, width // 2 :] = 20 * number
    return pixels


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """12 frames at 12 fps, wider than the model's videos."""
    file = tmp_path_factory.mktemp("videos") / "given.mp4"
    write_video(np.stack([ramp(n, 64, 128) for n in range(12)]), 12, file)
    return file


@pytest.fixture
def model(make_shard: MakeShard, tmp_path: Path) -> Path:
    digest = tokenizer_digest("small")
    data = [make_shard("a/000000", ["clip0", "clip1"], shape=(16, 3, 6, 8), tokenizer_digest=digest)]
    settings = {"conditional_frames": (0.5, 0.25, 0.25), "batch_size": 2, "num_threads": 1, "quiet": True}
    return train({**settings, "data": data, "steps": 1}, tmp_path / "work").model


def request(**changes: Any) -> SamplingRequest:
    return SamplingRequest(**{"prompt": ["a"], "num_inference_steps": 2, "num_threads": 1, **changes})


def test_the_first_frames_are_the_given_ones(model: Path, video: Path, tmp_path: Path) -> None:
    Image.fromarray(ramp(9)).save(tmp_path / "given.png")
    tokenizer = load_tokenizer("small")
    pixels = torch.from_numpy(ramp(9)).permute(2, 0, 1)[None, :, None].float() / 127.5 - 1
    known = tokenizer.decode(tokenizer.encode(pixels))[0, :, 0].permute(1, 2, 0)
    expected = ((known.clamp(-1, 1) + 1) * 127.5).round()
    sampled = {}
    for sampler in ("euler", "heun", "unipc", "ddim"):
        videos = sample(model, request(sampler=sampler, image=str(tmp_path / "given.png"))).videos
        assert np.abs(videos[0, 0].astype(float) - expected.numpy()).max() <= 1
        sampled[sampler] = videos
    without = sample(model, request(sampler="euler")).videos
    assert np.abs(sampled["euler"][0, -1].astype(float) - without[0, -1]).mean() > 0.1

    five = sample(model, request(sampler="euler", video=str(video))).videos[0]
    shown = read_frames(video, 5, 12, 48, 64)
    assert np.abs(five[:5].astype(float) - shown.numpy()).mean() < 12  # what the tokenizer loses
    one = sample(model, request(sampler="euler", video=str(video), num_conditional_frames=1)).videos[0]
    assert np.abs(one[0].astype(float) - shown[-1].numpy()).mean() < 12


def test_the_last_frames_of_a_video_are_read_at_the_rate_of_the_model(video: Path) -> None:
    frames = read_frames(video, 3, 6, 32, 32)
    assert frames.shape == (3, 32, 32, 3)
    gray = frames[:, :, 24:, :].float().mean((1, 2, 3))
    assert (gray - torch.tensor([140.0, 180.0, 220.0])).abs().max() < 6
    assert (frames[:, :, :8].float().mean((1, 2, 3)) - 90).abs().max() < 6
    with pytest.raises(TrainingError, match="shorter than the 20 frames at 12 fps"):
        read_frames(video, 20, 12, 32, 32)


def test_frames_that_cannot_be_given_are_refused(model: Path, video: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"given 3 of 3 latent frames; possible: 1, 2"):
        sample(model, request(video=str(video), num_conditional_frames=3))
    with pytest.raises(SettingError, match="both set"):
        sample(model, request(video=str(video), image="a.png"))
    (tmp_path / "no.png").write_text("text")
    with pytest.raises(TrainingError, match="cannot be decoded"):
        sample(model, request(image=str(tmp_path / "no.png")))
    with pytest.raises(SettingError, match="possible: none"):
        sample(model, request(image=str(video), num_frames=1))
