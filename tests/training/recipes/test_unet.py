"""A 3-D U-Net is a model of the recipe: it trains, resumes, samples, exports and starts a training."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from training.callbacks.loss_curve import read_loss_curve
from training.data.batches import collate
from training.data.order import SampleIndex
from training.data.shards import LatentShards
from training.errors import LayoutError, SettingError
from training.model import load_model, read_model_info
from training.networks.unet3d import UNET_CONFIGS, UNet3D, UNet3DConfig
from training.recipes.export import export
from training.recipes.sampling import SamplingRequest, sample
from training.recipes.world import train
from training.tokenizers import load_tokenizer

MakeShard = Callable[..., tuple[str, str]]
OnRanks = Callable[..., str]
DDPM: dict[str, Any] = {
    "model": "unet3d-tiny",
    "path": "ddpm",
    "preconditioning": "epsilon",
    "loss_weight": "network_output",
    "batch_size": 2,
    "warmup_steps": 2,
    "lr": 2e-3,
    "num_threads": 1,
    "quiet": True,
}


@pytest.fixture(autouse=True)
def smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    config = UNet3DConfig(8, 1, attention_head_dim=8, text_embed_dim=16, norm_num_groups=4)
    monkeypatch.setitem(UNET_CONFIGS, "unet3d-tiny", config)


@pytest.fixture
def data(make_shard: MakeShard) -> list[tuple[str, str]]:
    """Clips of two shapes, one of which no stride of the network divides."""
    digest = load_tokenizer("small").digest
    return [
        make_shard("a/000000", [f"clip{n:03d}" for n in range(6)], tokenizer_digest=digest),
        make_shard(
            "b/000000", [f"clip{n:03d}" for n in range(6, 10)], shape=(16, 1, 5, 3), tokenizer_digest=digest
        ),
    ]


@pytest.mark.slow
def test_it_trains_resumes_samples_exports_and_starts_a_training(
    data: list[tuple[str, str]], tmp_path: Path
) -> None:
    work = tmp_path / "work"
    train({"data": data, "steps": 1, **DDPM}, work)
    result = train({"data": data, "validation_data": data[:1], "steps": 2, **DDPM}, work)
    whole = train({"data": data, "steps": 2, **DDPM}, tmp_path / "whole")
    assert result.model.read_bytes() == whole.model.read_bytes()
    assert result.validation is not None
    assert result.validation.clips == 6
    metadata = json.loads(result.model.with_name("config.json").read_text())
    assert metadata["network"]["_class_name"] == "UNet3D"
    world, info = load_model(result.model)
    assert isinstance(world.network, UNet3D)
    assert info == read_model_info(work)

    request = SamplingRequest(prompt=[""], sampler="ddim", num_inference_steps=50, height=40, num_threads=1)
    videos = sample(result.model, request)
    assert videos.videos.shape[2:] == (40, 48, 3)

    exported = export(work, tmp_path / "exported")
    assert exported.path.read_bytes() == result.model.read_bytes()
    with pytest.raises(SettingError, match="diffusers has no class for the network of this model, a UNet3D"):
        export(work, tmp_path / "diffusers", "diffusers")

    settings = {k: v for k, v in DDPM.items() if k not in ("model", "path", "preconditioning")}
    settings |= {"data": data, "steps": 1, "lr": 1e-30, "init_from": str(work)}
    fine_tuned = train(settings, tmp_path / "fine-tuned")
    assert read_model_info(fine_tuned.model).diffusion == info.diffusion
    weights = load_file(fine_tuned.model)
    for name, weight in load_file(result.model).items():
        torch.testing.assert_close(weights[name], weight)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["unet3d-tiny", pytest.param("convrnn-nano", marks=pytest.mark.slow)])
def test_shards_give_the_losses_and_gradients_of_one_rank(
    on_ranks: OnRanks, data: list[tuple[str, str]], model: str, tmp_path: Path
) -> None:
    settings = {"data": data, "steps": 2, **DDPM, "model": model}
    one = train(settings, tmp_path / "one")
    two = {**settings, "activation_checkpointing": "selective", "work": str(tmp_path / "two")}
    script = Path(__file__).with_name("unet_ranks.py")
    expected = [[line["loss"], line["grad_norm"]] for line in read_loss_curve(one.loss_curve)]
    (got,) = json.loads(on_ranks(2, script, json.dumps(two)))
    assert got == [pytest.approx(each, rel=1e-5) for each in expected]


@pytest.mark.parametrize(
    "process",
    [
        {"path": "rectified_flow", "preconditioning": "edm", "loss_weight": "velocity"},
        {"path": "rectified_flow", "preconditioning": "velocity", "conditional_frames": (0.5, 0.5),
         "condition_timestep": 1e-4, "loss_weight": "velocity"},
        {"path": "edm", "preconditioning": "edm"},
        {"path": "cosine", "preconditioning": "edm", "loss_weight": "min_snr"},
        {"path": "ddpm_cosine", "preconditioning": "epsilon", "text_encoder": "none"},
    ],
)  # fmt: skip
def test_each_path_trains_it(data: list[tuple[str, str]], tmp_path: Path, process: dict[str, Any]) -> None:
    result = train({"data": data, "steps": 2, **DDPM, **process}, tmp_path)
    assert 0 < result.loss_last < 50


def test_it_cannot_share_the_tokens_of_a_clip(data: list[tuple[str, str]]) -> None:
    from training.recipes.config import TrainingSettings
    from training.recipes.layout import check_layout

    settings = TrainingSettings(**{k: v for k, v in DDPM.items() if k != "quiet"}, context_parallel=2)
    with pytest.raises(LayoutError, match="a UNet3D cannot share the tokens of a clip among 2 ranks"):
        check_layout(settings, 1, [(16, 1, 5, 3)])


def test_a_camera_begins_at_the_base_model_and_is_followed_in_chunks(
    make_shard: MakeShard, tmp_path: Path
) -> None:
    conditions = {"rate": 12.0, "camera_pose": {"unit": "m"}}
    digest = load_tokenizer("small").digest
    data = [make_shard("c/000000", ["a", "b"], tokenizer_digest=digest, conditions=conditions)]
    settings = {"data": data, "batch_size": 2, "warmup_steps": 0, "num_threads": 1, "quiet": True, "steps": 1}
    settings |= {"text_encoder": "none", "ema": "none", "given_residual": True, "conditional_frames": (0, 1)}
    new = {"model": "unet3d-tiny", "given_filters": 2, "lr": 1e-2}
    base = train(settings | new, tmp_path / "base").model.parent
    further = settings | {"conditions": "camera", "init_from": str(base), "given_planes": 4}
    same = train(further | {"lr": 1e-30}, tmp_path / "same").model.parent
    (before, _), (after, info) = load_model(base), load_model(same)
    assert isinstance(info.network, UNet3DConfig)
    assert (info.network.camera_injection, info.network.given_filters) == ("channels", 2)
    assert (info.network.given_planes, info.network.nearest_plane, info.network.patch) == (4, 1.0, 1)
    shards = LatentShards(data)
    shards.read_conditions(("camera",))
    batch = collate([shards.read(0, SampleIndex(0, 0))], [0])
    mask = torch.zeros(1, 1, *batch.latents.shape[2:])
    mask[:, :, 0] = 1
    known = replace(batch.conditioning, condition_mask=mask, condition_latents=batch.latents.float())
    x, t = torch.randn(batch.latents.shape), torch.tensor([0.3])
    with torch.inference_mode():
        torch.testing.assert_close(after.denoiser(x, t, known), before.denoiser(x, t, known))
    with pytest.raises(SettingError, match="given_filters is 3, but 2 in the model of init_from"):
        train(further | {"given_filters": 3}, tmp_path / "refused")
    with pytest.raises(SettingError, match="given_planes is 1"):
        train(further | {"given_planes": 1}, tmp_path / "refused")
    others = further | {"init_from": str(same), "given_planes": 4, "nearest_plane": 2.0}
    with pytest.raises(SettingError, match="nearest_plane 2, but 4 and 1 in the model of init_from"):
        train(others, tmp_path / "refused")
    trained = train(further | {"lr": 1e-2, "steps": 2}, tmp_path / "trained").model
    poses = torch.eye(3, 4).repeat(1, 12, 1, 1)
    forward = poses.clone()
    forward[0, :, 2, 3] = torch.linspace(0, 3, 12)
    intrinsics = torch.tensor([32.0, 32.0, 24.0, 16.0]).expand(1, 12, 4)
    given = torch.full((1, 1, 32, 48, 3), 120, dtype=torch.uint8)
    request = SamplingRequest(prompt=[""], num_inference_steps=1, guidance_scale=1.0, num_threads=1)
    still, moving = (
        sample(
            trained, request, conditions={"camera_pose": each, "camera_intrinsics": intrinsics}, given=given
        )
        for each in (poses, forward)
    )
    assert still.videos.shape == moving.videos.shape == (1, 12, 32, 48, 3)
    assert (still.videos != moving.videos).any()
