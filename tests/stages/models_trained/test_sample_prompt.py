"""A video per prompt, of both kinds of models: of its prompt, seed and given frames, and no other row."""

from dataclasses import replace
from io import BytesIO
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from small_models import (
    save_small_autoregressive_model,
    save_small_diffusion_decoder,
    save_small_diffusion_model,
)

from manifests.errors import InvalidSetting
from pipeline import Reject
from stages.models_trained.sample_prompt import PromptToSample, PromptVideo, SamplePrompt
from training.errors import CheckpointError, SettingError

SIZES = {"diffusion": (32, 32), "autoregressive": (24, 16)}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    return {
        "diffusion": save_small_diffusion_model(folder / "diffusion"),
        "autoregressive": save_small_autoregressive_model(folder / "autoregressive"),
    }


@pytest.mark.parametrize("kind", ["diffusion", "autoregressive"])
def test_each_prompt_has_a_video_of_its_own(kind: str, models: dict[str, Path], tmp_path: Path) -> None:
    image = tmp_path / "red.png"
    cv2.imwrite(str(image), np.full((64, 64, 3), (0, 0, 255), np.uint8))
    stage = SamplePrompt(model=str(models[kind]), num_inference_steps=2)
    rows = [
        PromptToSample(prompt="a dog", seed=1),
        PromptToSample(prompt="a dog", seed=2),
        PromptToSample(prompt="short", seed=1, upsampled_prompt="a dog"),
        PromptToSample(prompt="", seed=1),
        PromptToSample(prompt="a dog", seed=1, given_image=str(image)),
        PromptToSample(prompt="x" * 100_000, seed=1),
        PromptToSample(prompt="א כלב 🦮", seed=1, given_image=str(tmp_path / "none.png")),
    ]
    found = list(stage.annotate(rows))
    videos = [row for row in found[:5] if isinstance(row, PromptVideo)]
    assert len(videos) == 5, found
    first, other_seed, upsampled, without_text, with_image = (row.video.read() for row in videos)
    assert first == upsampled
    assert len({first, other_seed, with_image}) == 3
    assert kind == "autoregressive" or first != without_text  # there, random weights let text change no token
    assert videos[2].sampled_prompt == "a dog"
    assert videos[0].sampled_by == f"{kind} {stage.digest()[:12]}"
    assert (videos[0].video_width_px, videos[0].video_height_px) == SIZES[kind]
    assert (videos[0].video_frames, videos[0].video_fps) == (5, 8.0)
    with av.open(BytesIO(with_image)) as container:
        pixels = next(container.decode(video=0)).to_ndarray(format="rgb24")
    assert pixels[..., 0].mean() > 150 > 100 > pixels[..., 1].mean()
    assert isinstance(found[6], Reject), found[6]
    assert isinstance(found[5], PromptVideo if kind == "diffusion" else Reject)
    [alone] = SamplePrompt(model=str(models[kind]), num_inference_steps=2).annotate(rows[1:2])
    assert isinstance(alone, PromptVideo)
    assert alone.video.read() == other_seed


def test_a_diffusion_decoder_decodes_the_tokens(models: dict[str, Path], tmp_path: Path) -> None:
    decoder = save_small_diffusion_decoder(tmp_path / "decoder")
    plain = SamplePrompt(model=str(models["autoregressive"]))
    stage = SamplePrompt(model=plain.model, diffusion_decoder=str(decoder), diffusion_decoder_steps=2)
    rows = [PromptToSample(prompt="a dog", seed=1)]
    [without], [with_decoder] = plain.annotate(rows), stage.annotate(rows)
    assert isinstance(without, PromptVideo)
    assert isinstance(with_decoder, PromptVideo)
    assert with_decoder.video.read() != without.video.read()
    assert "diffusion decoder" in with_decoder.sampled_by
    assert stage.digest() != plain.digest() == stage.digest().split()[0]
    with pytest.raises(InvalidSetting, match="no tokens for a diffusion decoder"):
        replace(stage, model=str(models["diffusion"])).open()
    with pytest.raises(SettingError, match="no diffusion decoder"):
        replace(stage, diffusion_decoder=str(models["diffusion"])).open()


def test_the_key_has_the_model_and_not_its_path(models: dict[str, Path], tmp_path: Path) -> None:
    moved = tmp_path / "moved.safetensors"
    moved.write_bytes((models["diffusion"] / "model.safetensors").read_bytes())
    digests = [SamplePrompt(model=str(path)).digest() for path in (*models.values(), moved)]
    assert digests[0] == digests[2] != digests[1]
    for wrong in (tmp_path / "none", tmp_path):
        with pytest.raises(CheckpointError, match="no model here"):
            SamplePrompt(model=str(wrong)).digest()
