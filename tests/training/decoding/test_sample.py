"""Sampling from a trained autoregressive model: with heads, given frames and ranks; what is refused."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from tests.training.autoregressive.toy_codes import toy_clip, write_codes
from training.autoregressive.model import AutoregressiveModel
from training.autoregressive.model_file import TokenModelInfo, load_token_model, save_token_model
from training.callbacks.loss_curve import read_loss_curve
from training.cli import main
from training.decoding.sample import TokenSamplingRequest, sample_codes, sample_token_model
from training.errors import SettingError
from training.networks.autoregressive.config import AutoregressiveConfig
from training.recipes.autoregressive.train import train_autoregressive
from training.tokenizers import load_tokenizer, tokenizer_digest

OnRanks = Callable[..., str]
SETTINGS: dict[str, Any] = {
    "batch_size": 2, "steps": 3, "warmup_steps": 1, "lr": 1e-2, "conditional_frames": (0.5, 0.5),
    "num_threads": 1, "quiet": True, "ema": "none",
}  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    tar = tmp_path_factory.mktemp("codes") / "latents-train/videos.tar"
    clips = {f"clip{n}": toy_clip(n) for n in range(4)}
    return {"data": [write_codes(tar, clips, codebook_size=40)]}


@pytest.fixture(scope="module")
def model(data: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of clips of 3 latent frames of 16 x 24 px."""
    return train_autoregressive({**data, **SETTINGS}, tmp_path_factory.mktemp("model")).model.parent


@pytest.fixture(scope="module")
def with_heads(data: dict[str, Any], model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same model with four Medusa heads."""
    settings = {**data, **SETTINGS, "init_from": str(model), "medusa_heads": 4, "steps": 6}
    return train_autoregressive(settings, tmp_path_factory.mktemp("heads")).model.parent


def codes_of(model: Path, prompts: Sequence[str] = ("a", "b"), **settings: Any) -> tuple[torch.Tensor, int]:
    """The codes of a request, and the number of forward passes."""
    loaded, info = load_token_model(model)
    request = TokenSamplingRequest(prompt=prompts, num_threads=1, **settings)
    sampled = sample_codes(loaded, info, load_tokenizer("small-discrete"), request)  # type: ignore[arg-type]
    return sampled.codes, len(sampled.passes)


def test_heads_are_trained_on_a_frozen_model_and_do_not_change_its_videos(
    model: Path, with_heads: Path
) -> None:
    before, after = (load_file(folder / "model.safetensors") for folder in (model, with_heads))
    assert {name for name in after if name not in before} == {"medusa.merged.weight"}
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert after["medusa.merged.weight"].abs().max() > 1e-3
    lines = read_loss_curve(with_heads / "curve.jsonl")
    assert lines[-1]["medusa_loss"] < lines[0]["medusa_loss"]
    assert "medusa_cross_entropy/4" in lines[-1]
    for settings in ({}, {"guidance_scale": 2.0, "temperature": 0.5}):
        plain, passes = codes_of(model, **settings)
        assert passes == 18
        assert torch.equal(codes_of(with_heads, **settings)[0], plain)
        assert torch.equal(codes_of(with_heads, ["b"], first_sample=1, **settings)[0], plain[1:])


def test_a_part_of_the_network_is_trained_with_the_heads(
    data: dict[str, Any], with_heads: Path, tmp_path: Path
) -> None:
    settings = {**data, **SETTINGS, "init_from": str(with_heads), "medusa_heads": 4, "medusa_layers": 1}
    result = train_autoregressive({**settings, "steps": 2}, tmp_path)
    before, after = load_file(with_heads / "model.safetensors"), load_file(result.model)
    changed = {name for name in after if not torch.equal(after[name], before[name])}
    assert {
        "medusa.merged.weight",
        "network.output.weight",
        "network.layers.3.attention.wq.weight",
    } <= changed
    assert not any(name.startswith(("network.tok", "network.layers.2", "text_encoder")) for name in changed)


def test_the_command_samples_from_an_image(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    network = AutoregressiveConfig(hidden_size=32, num_hidden_layers=1, head_dim=18, text_embed_dim=0)
    tokenizer = {"tokenizer": "small-discrete", "digest": tokenizer_digest("small-discrete")}
    info = TokenModelInfo(
        network=network,
        text_encoder={"name": "none"},
        latents=tokenizer | {"stride": [4, 8, 8], "channels": 1, "dtype": "uint16"},
        fps=8.0,
        latent_shapes=[(1, 3, 2, 3)],
        training={"conditional_frames": [0.5, 0.5]},
    )
    model = AutoregressiveModel(network, "none")
    save_token_model(tmp_path / "model.safetensors", model.state_dict(), info)
    image = tmp_path / "first.png"
    Image.linear_gradient("L").convert("RGB").resize((24, 16)).save(image)
    arguments = [
        "sample",
        "--model",
        str(tmp_path),
        "--image",
        str(image),
        "--num-frames",
        "5",
        "--seed",
        "3",
    ]
    assert main([*arguments, "--top-p", "0.9", "--out", str(tmp_path / "video.mp4")]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'video.mp4'}\n"
    request = TokenSamplingRequest(prompt=["", ""], image=str(image), num_frames=5, first_sample=1)
    videos = torch.from_numpy(sample_token_model(tmp_path, request).videos).float()
    assert torch.equal(videos[0, 0], videos[1, 0])
    assert not torch.equal(videos[0, 4], videos[1, 4])
    pixels = torch.from_numpy(np.array(Image.open(image))).float()
    assert (videos[0, 0] - pixels).abs().mean() < 20


@pytest.mark.slow
def test_ranks_share_the_videos(with_heads: Path, tmp_path: Path, on_ranks: OnRanks) -> None:
    script = tmp_path / "sample.py"
    script.write_text("import sys\nfrom training.cli import main\nassert main(sys.argv[1:]) == 0\n")
    arguments = ["sample", "--model", str(with_heads), "--num-samples", "3", "--num-frames", "1", "--out"]
    on_ranks(2, script, *arguments, tmp_path / "two.mp4")
    assert main([*arguments, str(tmp_path / "one.mp4")]) == 0
    for number in range(3):
        one, two = (tmp_path / f"{name}-{number}.mp4" for name in ("one", "two"))
        assert one.read_bytes() == two.read_bytes()


def test_free_running_is_evaluated_beside_teacher_forced(
    model: Path, data: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    codes = str(Path(data["data"][0][0]).parents[1])
    arguments = ["evaluate", "--model", str(model), "--data", codes, "--num-threads", "1"]
    assert main([*arguments, "--free-running"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("4 clips · cross-entropy and accuracy after 1 given latent frame")
    first = lines[2].split()
    assert first[0] == "1"
    assert first[1] != first[2]
    assert main(arguments) == 0
    per_frame = [line.split() for line in capsys.readouterr().out.splitlines() if line.split()[0] == "1"]
    assert float(per_frame[0][1]) == pytest.approx(float(first[1]), abs=1e-3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"medusa_heads": 5}, "medusa_heads is 5, and the model has 4"),
        ({"num_frames": 6}, "not 1 \\+ k \\* 4"),
        ({"prompt": ["x" * 100_000]}, "a prompt has 100000 bytes"),
        ({"prompt": []}, "no prompt"),
        ({"num_conditional_frames": 1}, "there are none"),
        ({"image": "a.png", "video": "b.mp4"}, "both set"),
        ({"num_frames": 17, "context_frames": 3}, "no frame is left to decode"),
        ({"top_p": 1.5}, "top_p: 1.5 is out of range"),
    ],
)
def test_requests_that_cannot_be_are_refused(
    with_heads: Path, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(SettingError, match=message):
        sample_token_model(
            with_heads, TokenSamplingRequest(**{"prompt": ["a"], "num_threads": 1, **settings})
        )


def test_prompts_of_any_text_are_read(model: Path) -> None:
    codes, _ = codes_of(model, ["", "🦊 עברית " * 100], num_frames=5)
    assert codes.shape == (2, 2, 2, 3)


def test_options_and_trainings_that_cannot_be_are_refused(
    model: Path, data: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["sample", "--model", str(model), "--out", str(tmp_path / "video.mp4")]
    assert main([*arguments, "--sampler", "euler"]) == 2
    assert "--sampler: this is an autoregressive model" in capsys.readouterr().err
    assert main([*arguments, "--medusa-heads", "2"]) == 2
    assert "train them with clipmill train autoregressive init_from=MODEL" in capsys.readouterr().err
    with pytest.raises(SettingError, match="init_from names none"):
        train_autoregressive({**data, **SETTINGS, "medusa_heads": 4}, tmp_path)
    assert not os.listdir(tmp_path)
