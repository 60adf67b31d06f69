"""A sampled video begins with the frames of an image or video, with each sampler."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from training.errors import SettingError, TrainingError
from training.model import load_model
from training.networks.video_dit import VideoDiTConfig
from training.recipes.config import TrainingSettings
from training.recipes.given_frames import read_frames
from training.recipes.objective import build_objective
from training.recipes.sampling import SamplingRequest, sample, sample_latents, write_video
from training.recipes.world import train
from training.tokenizers import load_tokenizer, tokenizer_digest
from training.world_model import WorldModel

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
def settings(make_shard: MakeShard) -> dict[str, Any]:
    digest = tokenizer_digest("small")
    data = [make_shard("a/000000", ["clip0", "clip1"], shape=(16, 3, 6, 8), tokenizer_digest=digest)]
    return {
        "conditional_frames": (0.5, 0.25, 0.25),
        "batch_size": 2,
        "num_threads": 1,
        "quiet": True,
        "data": data,
        "steps": 1,
    }


@pytest.fixture
def model(settings: dict[str, Any], tmp_path: Path) -> Path:
    return train(settings, tmp_path / "work").model


def test_a_playlist_reads_no_other_file(video: Path, tmp_path: Path) -> None:
    text = f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{video}\n#EXT-X-ENDLIST\n"
    (tmp_path / "list.mp4").write_text(text)
    (tmp_path / "list.ffconcat").write_text(f"ffconcat version 1.0\nfile {video}\n")
    for name in ("list.mp4", "list.ffconcat"):
        with pytest.raises(TrainingError, match="cannot be decoded"):
            read_frames(tmp_path / name, count=1, fps=12, height=48, width=64)


def test_a_name_with_a_pattern_is_one_image(tmp_path: Path) -> None:
    for name, number in (("p%02d.png", 5), ("p00.png", 0), ("p01.png", 0)):
        Image.fromarray(ramp(number)).save(tmp_path / name)
    (frame,) = read_frames(tmp_path / "p%02d.png", count=1, fps=12, height=48, width=64)
    assert frame[20, 60].tolist() == pytest.approx([100] * 3, abs=2)


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


@pytest.mark.slow
def test_frames_with_noise_begin_a_video_without_it(
    settings: dict[str, Any], model: Path, video: Path, tmp_path: Path
) -> None:
    changes = {"condition_timestep_std": 2.0, "steps": 3, "lr": 0.02, "warmup_steps": 0}
    noisy = train({**settings, **changes}, tmp_path / "noisy").model
    given = {"video": str(video), "sampler": "euler", "num_conditional_frames": 1}
    tokenizer = load_tokenizer("small")
    default, some, much = (
        sample_latents(*load_model(noisy), tokenizer, request(**given, condition_timestep=timestep))[0]
        for timestep in (0.0, 0.001, 0.9)
    )
    clean = sample_latents(*load_model(model), tokenizer, request(**given))[0]
    assert torch.equal(default, some)
    assert torch.equal(default[:, :1], clean[:, :1])
    assert torch.equal(much[:, :1], clean[:, :1])
    assert float((much - default)[:, 1:].abs().mean()) > 1e-3

    with pytest.raises(SettingError, match="trained without it"):
        sample(model, request(**given, condition_timestep=0.001))
    with pytest.raises(SettingError, match="must be below 1"):
        sample(noisy, request(**given, condition_timestep=1.0))
    with pytest.raises(SettingError, match="there are none"):
        sample(noisy, request(condition_timestep=0.1))


@pytest.mark.parametrize("path", ["edm", "rectified_flow"])
def test_the_noise_of_given_frames_has_the_set_ratio_to_the_signal(path: str) -> None:
    weight = {"edm": "network_output", "rectified_flow": "velocity"}[path]
    config = TrainingSettings(
        path=path, loss_weight=weight, condition_timestep_mean=-2.0, condition_timestep_std=0.5
    )
    network = VideoDiTConfig(num_attention_heads=1, attention_head_dim=18, num_layers=1, channels=4)
    model = WorldModel(network, config.diffusion, "none")
    sampler = build_objective(config, model, None).condition_timestep_sampler
    assert sampler is not None
    t = sampler(torch.tensor([0.5, 0.8413447], dtype=torch.float64), (16, 9, 2, 2))
    noise_path = config.diffusion.build_path()
    ratio = (noise_path.sigma(t) / noise_path.alpha(t)).log()
    torch.testing.assert_close(ratio, torch.tensor([-2.0, -1.5]), rtol=0, atol=1e-4)


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
