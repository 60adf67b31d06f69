"""A training starts from pretrained weights, resumes without them, and exports what diffusers computes."""

import json
import math
import shutil
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from small_t5 import save_small_t5

from training.adapters.diffusers_folder import save_diffusers, to_diffusers_config
from training.adapters.families import TRAINING_SETTINGS, find_family
from training.adapters.released import save_released
from training.cli import main
from training.diffusion.conditioning import Conditioning
from training.diffusion.config import DiffusionConfig
from training.errors import CheckpointError, LatentMismatchError, SettingError
from training.evaluation.evaluate import evaluate
from training.model import ModelInfo, load_model, read_model_info, save_model
from training.networks.config import MODEL_CONFIGS, VideoDiTConfig
from training.networks.video_dit import VideoDiT
from training.recipes.config import TrainingConfig
from training.recipes.export import diffusers_notes, diffusers_scheduler, export
from training.recipes.objective import build_timestep_sampler
from training.recipes.sampling import SamplingRequest, sample
from training.recipes.world import train
from training.world_model import WorldModel

MakeShard = Callable[..., tuple[str, str]]
PREDICT25 = VideoDiTConfig(
    num_attention_heads=2,
    attention_head_dim=24,
    num_layers=1,
    channels=4,
    text_embed_dim=8,
    adaln_lora_dim=4,
    timestep_scale=1.0,
    rope_scale=(1.0, 3.0, 3.0),
    concat_padding_mask=True,
    concat_condition_mask=True,
    crossattn_proj_in_channels=24,
    fp32_residual=True,
)
SHORT: dict[str, Any] = {
    "batch_size": 2,
    "warmup_steps": 1,
    "lr": 1e-3,
    "checkpoint_interval": 1,
    "num_threads": 1,
    "quiet": True,
}


@pytest.fixture
def data(make_shard: MakeShard) -> list[tuple[str, str]]:
    return [make_shard("a/000000", ["clip0", "clip1"], shape=(4, 2, 4, 4))]


@pytest.fixture
def pretrained(tmp_path: Path) -> Path:
    """A folder of a random network in the layout of diffusers."""
    rng = torch.Generator().manual_seed(5)
    weights = {
        name: torch.randn(p.shape, generator=rng) * (0.3 if p.dim() == 1 else p.shape[1] ** -0.5)
        for name, p in VideoDiT(PREDICT25).named_parameters()
    }
    save_diffusers(tmp_path / "pretrained", PREDICT25, weights)
    return tmp_path / "pretrained"


def start(pretrained: Path, **changes: Any) -> dict[str, Any]:
    return {**SHORT, "init_from": str(pretrained), "text_encoder": "none", **changes}


@pytest.fixture(scope="module")
def diffusers() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("diffusers")


def test_a_training_from_pretrained_weights_resumes_without_them_and_exports(
    pretrained: Path, data: list[tuple[str, str]], tmp_path: Path, diffusers: Any
) -> None:
    settings = start(pretrained, data=data)
    train({**settings, "steps": 1, "lr": 1e-12, "weight_decay": 0.0}, tmp_path / "work")
    model, info = load_model(tmp_path / "work")
    theirs = diffusers.CosmosTransformer3DModel.from_pretrained(pretrained)
    for name, weight in theirs.named_parameters():
        assert torch.allclose(model.network.get_parameter(name), weight, atol=1e-6)
    assert info.network == PREDICT25
    assert (info.diffusion.path, info.diffusion.preconditioning) == ("rectified_flow", "velocity")
    assert "model" not in info.training

    shutil.rmtree(pretrained)
    assert train({**settings, "steps": 2}, tmp_path / "work").steps == 2
    record = json.loads(next((tmp_path / "work" / "checkpoints").glob("*02/record.json")).read_text())
    assert len(record["identity"]["init_digest"]) == 64

    out = tmp_path / "out"
    assert main(["export", "--from", str(tmp_path / "work"), "--out", str(out), "--format", "diffusers"]) == 0
    _compare_with_diffusers(diffusers, tmp_path / "work", out)
    again = train({**start(out, data=data), "steps": 1}, tmp_path / "again")
    assert read_model_info(again.model).diffusion == info.diffusion


@torch.inference_mode()
def _compare_with_diffusers(diffusers: Any, model: Path, folder: Path) -> None:
    """Both networks have equal outputs, and both samplers of the flow equal latents."""
    theirs = diffusers.CosmosTransformer3DModel.from_pretrained(folder)
    ours, _ = load_model(model)
    rng = torch.Generator().manual_seed(1)
    x = torch.randn(1, 4, 2, 4, 4, generator=rng)
    text = torch.randn(1, 3, 24, generator=rng)
    masks: dict[str, Any] = {
        "condition_mask": torch.zeros(1, 1, 2, 4, 4),
        "padding_mask": torch.zeros(1, 1, 4, 4),
    }

    def call(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = theirs(x, t, text, **masks, return_dict=False)[0]
        return out

    conditioning = Conditioning(text_embeddings=text)
    t = torch.tensor([0.4])
    assert float((ours.network(x, t, conditioning) - call(x, t)).abs().max()) < 5e-5

    from training.samplers.euler import sample_euler

    stated = json.loads((folder / "config.json").read_text())["_clipmill_export"]["scheduler"]
    scheduler = getattr(diffusers, stated.pop("_class_name"))(**stated)
    scheduler.set_timesteps(sigmas=[1.0, 0.6, 0.3])
    sampled = x
    for timestep, sigma in zip(scheduler.timesteps, scheduler.sigmas, strict=False):
        sampled = scheduler.step(call(sampled, sigma[None]), timestep, sampled).prev_sample
    grid = torch.cat([scheduler.sigmas[:3], torch.zeros(1)])
    denoiser = ours.denoiser
    expected = sample_euler(denoiser, denoiser.path, x, conditioning, grid)
    assert float((sampled - expected).abs().max()) < 5e-5


def test_a_training_starts_from_a_model_of_clipmill(
    data: list[tuple[str, str]], make_shard: MakeShard, tmp_path: Path
) -> None:
    own = {"sigma_data": 0.7, "flow_shift": 3.0, "conditional_frames": (0.5, 0.5), "condition_timestep": 0.01}
    first = train({**SHORT, **own, "data": data, "steps": 1}, tmp_path / "first")
    settings = {**SHORT, "data": data, "init_from": str(first.model.parent)}
    train({**settings, "steps": 1, "lr": 1e-12, "weight_decay": 0.0}, tmp_path / "second")
    (model, info), (other, other_info) = load_model(first.model), load_model(tmp_path / "second")
    assert (other_info.diffusion, other_info.text_encoder) == (info.diffusion, info.text_encoder)
    assert all(other_info.training[name] == info.training[name] for name in own)
    for name, weight in model.state_dict().items():
        assert torch.allclose(other.state_dict()[name], weight, atol=1e-6)

    (tmp_path / "copy").mkdir()
    shutil.copy(first.model, tmp_path / "copy")
    moved = {**settings, "init_from": str(tmp_path / "copy"), "steps": 1}
    assert train(moved, tmp_path / "second").steps == 1
    changed = tmp_path / "changed" / "model.safetensors"
    save_model(changed, {name: 2 * weight for name, weight in model.state_dict().items()}, info)
    with pytest.raises(CheckpointError, match="made with init_digest"):
        train({**settings, "init_from": str(changed), "steps": 1}, tmp_path / "second")
    with pytest.raises(CheckpointError, match="made with init_digest"):
        train({**SHORT, **own, "data": data, "steps": 1}, tmp_path / "second")
    odd = [make_shard("odd/000000", ["clip0"], shape=(4, 2, 4, 4), tokenizer_digest="d2")]
    with pytest.raises(LatentMismatchError, match="digest d2, but the model of init_from"):
        train({**settings, "data": odd, "steps": 1}, tmp_path / "fourth")


def test_the_weights_depend_on_the_seed() -> None:
    models = (WorldModel(MODEL_CONFIGS["tiny"], DiffusionConfig(), "byte_level", seed) for seed in (0, 3))
    first, second = models
    for name in ("network.patch_embed.proj.weight", "text_encoder.byte_embed.weight"):
        assert not torch.equal(first.get_parameter(name), second.get_parameter(name))


def test_settings_that_do_not_fit_the_weights_are_refused(
    pretrained: Path, data: list[tuple[str, str]], make_shard: MakeShard, tmp_path: Path
) -> None:
    settings = start(pretrained, data=data)
    with pytest.raises(SettingError, match="and so does model=tiny"):
        train({**settings, "model": "tiny"}, tmp_path / "work")
    del settings["text_encoder"]
    with pytest.raises(SettingError, match="come without a text encoder"):
        train(settings, tmp_path / "work")
    wide = [make_shard("w/000000", ["clip0"], shape=(16, 2, 4, 4))]
    with pytest.raises(LatentMismatchError, match="16 channels, but the network of init_from has 4"):
        train(start(pretrained, data=wide), tmp_path / "work")
    with pytest.raises(CheckpointError, match="no such file"):
        train(start(tmp_path / "nowhere", data=data), tmp_path / "work")


def test_a_family_has_the_settings_that_its_publisher_states() -> None:
    predict1 = find_family(MODEL_CONFIGS["cosmos-predict1-7b-video2world"])
    assert predict1.diffusion == {"path": "edm", "preconditioning": "edm", "latent_scale": 0.5}
    values = {**predict1.diffusion, **predict1.training}
    sampler = build_timestep_sampler(TrainingConfig(data=(), **values))
    median = sampler(torch.tensor([0.5], dtype=torch.float64), (16, 1, 4, 4))
    assert float(median) * predict1.diffusion["latent_scale"] == pytest.approx(1.0)  # P_mean 0
    assert "conditional_frames" not in find_family(MODEL_CONFIGS["cosmos-predict1-7b"]).training
    assert find_family(MODEL_CONFIGS["cosmos-predict2-2b"]).diffusion["preconditioning"] == "scaled_velocity"
    sizes = {size: find_family(MODEL_CONFIGS[f"cosmos-predict2.5-{size}"]).training for size in ("2b", "14b")}
    differences = {
        (size, name): value
        for size, training in sizes.items()
        for name, value in training.items()
        if sizes["2b"][name] != sizes["14b"][name]
    }
    assert differences == {
        ("2b", "condition_timestep"): 1e-4,
        ("14b", "condition_timestep"): 0.0,
        ("2b", "high_noise_share"): 0.0,
        ("14b", "high_noise_share"): 0.05,
    }


PREDICT2 = replace(PREDICT25, crossattn_proj_in_channels=None, fp32_residual=False)
PREDICT1 = replace(PREDICT2, extra_pos_embed_type="learnable", max_size=(4, 8, 6), base_fps=24.0)
RELEASED = {
    "Cosmos-Predict1": (PREDICT1, "cosmos-predict1", "network_output", (1.0, 1.0, 1.0), 1.0, math.log(2)),
    "Cosmos-Predict2": (PREDICT2, "cosmos-predict2", "velocity", (1.0,), 1.0, math.log(4)),
    "Cosmos-Predict2.5": (PREDICT25, "cosmos-predict2", "velocity", (0.5, 0.25, 0.25), 5.0, 0.0),
}


@pytest.mark.parametrize("family", RELEASED)
def test_a_released_file_gives_the_defaults_of_its_family(
    family: str,
    data: list[tuple[str, str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    config, layout, loss_weight, odds, shift, mean = RELEASED[family]
    monkeypatch.setitem(MODEL_CONFIGS, "published", config)
    file = tmp_path / "released.pt"
    save_released(file, layout, config, dict(VideoDiT(config).named_parameters()))
    settings = start(file, data=data, steps=1, quiet=False, timestep_std=0.7, warmup_steps=0)
    work = tmp_path / "work"
    info = read_model_info(train(settings, work).model)
    expected = {
        "loss_weight": loss_weight,
        "conditional_frames": list(odds),
        "flow_shift": shift,
        "timestep_mean": mean,
        "timestep_std": 0.7,
    }
    assert expected.items() <= info.training.items()
    assert info.flow_shift == shift
    assert info.diffusion.has_frame_timesteps is (family == "Cosmos-Predict2.5")
    line = next(x for x in capsys.readouterr().err.splitlines() if "init_from" in x)
    assert line.startswith(f"init_from is {family}; defaults from it: path {info.diffusion.path}, ")
    assert f", timestep_mean {mean:g}" in line
    assert ", timestep_std" not in line

    file.unlink()
    train({**settings, "steps": 2}, work)
    record = json.loads(next((work / "checkpoints").glob("*02/record.json")).read_text())
    assert {**record["history"][0]["settings"], **expected} == record["history"][0]["settings"]
    assert record["history"][1:] == [{"step": 1, "settings": {"steps": 2}}]
    assert "defaults from it" not in capsys.readouterr().err


def test_another_path_leaves_the_timesteps_of_the_family_out(
    pretrained: Path, data: list[tuple[str, str]], tmp_path: Path
) -> None:
    settings = start(pretrained, data=data, steps=1, path="edm", preconditioning="scaled_velocity")
    info = read_model_info(train(settings, tmp_path / "work").model)
    defaults = TrainingConfig(data=())
    for name in TRAINING_SETTINGS:
        value = getattr(defaults, name)
        assert info.training[name] == (list(value) if isinstance(value, tuple) else value)


def _info(**changes: Any) -> ModelInfo:
    values: dict[str, Any] = {
        "network": MODEL_CONFIGS["tiny"],
        "diffusion": DiffusionConfig(),
        "text_encoder": {"name": "byte_level"},
        "flow_shift": 1.0,
        "latents": {},
        "fps": 12.0,
        "latent_shapes": [],
        "training": {},
    }
    return ModelInfo(**values | changes)


def test_the_notes_of_an_export_name_what_diffusers_does_not_have(tmp_path: Path) -> None:
    notes = " ".join(diffusers_notes(_info()))
    assert "No scheduler of diffusers samples from it" in notes
    assert "timestep = 100 times c_noise" in notes
    assert "as attention_mask" in notes
    assert "is not in the folder" in notes
    network = MODEL_CONFIGS["cosmos-predict1-7b"]
    diffusion = DiffusionConfig("edm", latent_scale=0.5)
    edm = _info(network=network, diffusion=diffusion, text_encoder={"name": "none"})
    assert diffusers_notes(edm) == (
        "Multiply latents of unit variance by 0.5.",
        "Pass timestep = c_noise of the preconditioning.",
    )
    assert diffusers_scheduler(edm.diffusion) == {"_class_name": "EDMEulerScheduler", "sigma_data": 0.5}
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(CheckpointError, match="not a model trained by Clipmill"):
        export(tmp_path, tmp_path / "out", "diffusers")


def test_an_export_of_a_masked_network_with_scaled_timesteps_equals_it_as_noted(
    data: list[tuple[str, str]], tmp_path: Path, diffusers: Any
) -> None:
    model = train({**SHORT, "data": data, "steps": 2, "lr": 0.05}, tmp_path / "work").model
    export(model, tmp_path / "out", "diffusers")
    theirs = diffusers.CosmosTransformer3DModel.from_pretrained(tmp_path / "out")
    ours, info = load_model(model)
    assert to_diffusers_config(info.network)["_clipmill"]["mask_text"]
    rng = torch.Generator().manual_seed(1)
    x, text = torch.randn(1, 4, 2, 4, 4, generator=rng), torch.randn(1, 3, 128, generator=rng)
    mask, t = torch.tensor([[1, 1, 0]]), torch.tensor([0.3])
    conditioning = Conditioning(text_embeddings=text, text_mask=mask)
    with torch.inference_mode():
        expected = ours.network(x, t, conditioning)
        out = theirs(x, 100 * t, text, attention_mask=mask.bool(), return_dict=False)[0]
    assert float(expected.abs().max()) > 0.01
    assert float((out - expected).abs().max()) < 5e-5
    with pytest.raises(CheckpointError, match="would be replaced"):
        export(model, model.parent, "diffusers")


def test_a_name_that_is_neither_a_text_encoder_nor_a_place_is_refused() -> None:
    with pytest.raises(SettingError, match="no text_encoder 'byte_levl'"):
        TrainingConfig(data=(), text_encoder="byte_levl")
    assert TrainingConfig(data=(), text_encoder="google-t5/t5-11b").text_encoder == "google-t5/t5-11b"


@pytest.mark.slow
def test_a_pretrained_text_encoder_is_recorded_and_checked(
    pretrained: Path, make_shard: MakeShard, tmp_path: Path
) -> None:
    from training.tokenizers import tokenizer_digest

    encoders = [save_small_t5(tmp_path / f"t5-{seed}", seed) for seed in range(2)]
    digest = tokenizer_digest("small")
    data = [make_shard("a/000000", ["clip0", "clip1"], shape=(4, 2, 4, 4), tokenizer_digest=digest)]
    settings = start(pretrained, data=data, text_encoder=str(encoders[0]), steps=1)
    result = train(settings, tmp_path / "work")
    info = read_model_info(result.model)
    assert info.text_encoder["kind"] == "t5"
    assert len(info.text_encoder["digest"]) == 64
    assert not any(name.startswith("text_encoder") for name in load_model(result.model)[0].state_dict())

    loss = evaluate(result.model, data, num_threads=1).loss
    moved = encoders[0].rename(tmp_path / "moved")
    assert evaluate(result.model, data, text_encoder=str(moved), num_threads=1).loss == loss
    assert train({**settings, "text_encoder": str(moved), "steps": 2}, tmp_path / "work").steps == 2
    with pytest.raises(CheckpointError, match=r"text_encoder\.digest"):
        train({**settings, "text_encoder": str(encoders[1]), "steps": 3}, tmp_path / "work")
    with pytest.raises(CheckpointError, match="not the one that the model was trained with"):
        evaluate(result.model, data, text_encoder=str(encoders[1]), num_threads=1)
    request = SamplingRequest(prompt=["a"], text_encoder=str(encoders[1]), num_threads=1)
    with pytest.raises(CheckpointError, match="not the one that the model was trained with"):
        sample(result.model, request)
