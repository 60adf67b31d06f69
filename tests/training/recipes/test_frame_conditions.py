"""A training reads actions and cameras, starts at the base model, resumes, is evaluated and sampled from."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from training.cli import main
from training.data.batches import collate
from training.data.order import SampleIndex
from training.data.shards import LatentShards
from training.errors import LatentMismatchError, SettingError
from training.evaluation.evaluate import evaluate
from training.model import load_model, read_model_info, spec_of_conditions
from training.networks.video_dit import VideoDiTConfig
from training.recipes.export import export
from training.recipes.sampling import SamplingRequest, open_tokenizer, sample, sample_latents, write_video
from training.recipes.world import train
from training.tokenizers import tokenizer_digest

MakeShard = Callable[..., tuple[str, str]]
Pairs = list[tuple[str, str]]
CONDITIONS: dict[str, Any] = {
    "rate": 12.0,
    "action": {
        "names": ["x", "y"],
        "units": ["m", "m"],
        "frame": "world",
        "mean": [0.0, 1.0],
        "std": [1.0, 2],
    },
    "camera_pose": {"unit": "m"},
}
SHORT: dict[str, Any] = {
    "batch_size": 2,
    "warmup_steps": 1,
    "checkpoint_interval": 1,
    "num_threads": 1,
    "quiet": True,
    "text_encoder": "none",
    "ema": "none",
}


def make_data(make: MakeShard, name: str = "a", **changes: Any) -> Pairs:
    metadata = {"tokenizer_digest": tokenizer_digest("small"), "conditions": CONDITIONS, **changes}
    return [make(f"{name}/000000", [f"{name}{n}" for n in range(5)], **metadata)]


@pytest.fixture(scope="module")
def data(make_module_shard: MakeShard) -> Pairs:
    return make_data(make_module_shard)


@pytest.fixture(scope="module")
def base(data: Pairs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    settings = {**SHORT, "data": data, "steps": 2, "lr": 3e-3, "conditional_frames": (0.5, 0.5)}
    return train(settings, tmp_path_factory.mktemp("base")).model.parent


@pytest.fixture(scope="module")
def trained(base: Path, data: Pairs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that follows actions and a camera, from the base model, with a resume after its first step."""
    work = tmp_path_factory.mktemp("trained")
    settings = {**SHORT, "data": data, "validation_data": data, "lr": 1e-3, "init_from": str(base)}
    settings |= {"conditions": "camera,action", "condition_lr_scale": 5.0}
    settings["steps"] = 1
    train(settings, work)
    return train({**settings, "steps": 2}, work).model.parent


def test_samples_have_the_conditions_of_their_frames(data: Pairs) -> None:
    whole, cropped = LatentShards(data), LatentShards(data, max_frames=2)
    for shards in (whole, cropped):
        shards.read_conditions(("action", "camera"))
    samples = [whole.read(0, SampleIndex(0, n)) for n in range(2)]
    conditioning = collate(samples, [0, 1]).conditioning
    assert conditioning.action is not None
    assert conditioning.camera is not None
    assert conditioning.action_mask is not None
    assert conditioning.action.shape == (2, 3, 8)
    assert conditioning.camera.shape == (2, 6, 3, 4, 6)
    assert conditioning.action_mask.tolist() == [[0, 1, 1]] * 2
    short = cropped.read(0, SampleIndex(0, 1)).conditions
    for name in ("action", "action_mask"):
        assert torch.equal(short[name], samples[1].conditions[name][:2])
    assert torch.equal(short["camera"], samples[1].conditions["camera"][:, :2])


@pytest.mark.slow
def test_the_first_step_is_that_of_the_base_model(base: Path, data: Pairs, tmp_path: Path) -> None:
    settings = {**SHORT, "data": data, "init_from": str(base), "lr": 1e-12, "weight_decay": 0.0, "steps": 1}
    before, _ = load_model(base)
    x, t = torch.randn(1, 16, 3, 4, 6, generator=torch.Generator().manual_seed(0)), torch.tensor([0.3])
    for injection in ("channels", "block"):
        changes = {"conditions": "camera,action", "camera_injection": injection}
        train({**settings, **changes}, tmp_path / injection)
        model, info = load_model(tmp_path / injection)
        assert isinstance(info.network, VideoDiTConfig)
        assert (info.network.action_dim, info.network.camera_injection) == (8, injection)
        shards = LatentShards(data)
        shards.read_conditions(("action", "camera"))
        known = collate([shards.read(0, SampleIndex(0, 0))], [0]).conditioning
        with torch.inference_mode():
            expected = before.network(x, t, replace(known, action=None, action_mask=None, camera=None))
            assert torch.allclose(model.network(x, t, known), expected, atol=1e-5)


@pytest.mark.slow
def test_new_layers_are_trained_whole_beside_adapters(base: Path, data: Pairs, tmp_path: Path) -> None:
    settings = {**SHORT, "data": data, "init_from": str(base), "lr": 1e-2, "lora_rank": 2}
    settings |= {"conditions": "camera,action", "weight_decay": 0.0}
    train({**settings, "steps": 1}, tmp_path / "work")
    train({**settings, "steps": 2}, tmp_path / "work")
    exported = export(tmp_path / "work", tmp_path / "out").path
    (model, _), (saved, _) = load_model(tmp_path / "work"), load_model(exported)
    weights = dict(saved.network.named_parameters())
    for name, weight in model.network.named_parameters():
        assert torch.equal(weight, weights[name])
    assert bool(weights["camera_embed.weight"].any())
    assert bool(weights["action_embed.linear_2.weight"].any())
    frozen = load_model(base)[0].network.get_parameter("patch_embed.proj.weight")
    assert torch.equal(weights["patch_embed.proj.weight"], frozen)


def test_the_model_file_and_the_validation_know_the_conditions(trained: Path, data: Pairs) -> None:
    info = read_model_info(trained)
    spec = spec_of_conditions(info)
    assert spec is not None
    assert spec.names == ("action", "camera")
    assert len(info.conditions["digest"]) == 64
    assert info.conditions["camera_intrinsics"] == pytest.approx([1 / 3, 1 / 2, 1 / 2, 1 / 2], abs=1e-5)
    lines = [json.loads(line) for line in (trained / "validation.jsonl").read_text().splitlines()]
    result = evaluate(trained, data, batch_size=2, num_threads=1)  # the training had larger batches
    assert lines[-1]["loss_by_condition"] == pytest.approx(result.loss_by_condition)
    assert list(result.loss_by_condition) == ["right", "shuffled", "none"]
    assert len(set(result.loss_by_condition.values())) == 3
    mean = sum(result.loss_by_mode.values()) / 2  # the right conditions are those of the other figures
    assert result.loss_by_condition["right"] == pytest.approx(mean)
    assert "shuffled conditions" in " ".join(result.details())


def test_data_with_other_conditions_are_refused(
    trained: Path, base: Path, data: Pairs, make_shard: MakeShard, tmp_path: Path
) -> None:
    plain = make_data(make_shard, "plain", conditions=None)
    millimeters = CONDITIONS | {"action": CONDITIONS["action"] | {"units": ["mm", "mm"]}}
    other = make_data(make_shard, "other", conditions=millimeters)
    settings = {**SHORT, "init_from": str(trained), "steps": 3}
    for changes, message in (
        ({"data": plain, "conditions": "action,camera"}, "the clips have no action"),
        ({"data": [*data, *other]}, "units of action is mm, mm, but m, m"),
        ({"data": other}, "units of action is mm, mm, but m, m in the model of init_from"),
        ({"data": data, "conditions": "camera"}, "reads action and camera, and conditions is camera"),
    ):
        with pytest.raises(LatentMismatchError, match=message):
            train({**settings, **changes}, tmp_path / "refused")
    with pytest.raises(LatentMismatchError, match="units of action"):
        evaluate(trained, other)
    for bad, message in (
        ({"conditions": "pose"}, "no condition 'pose'"),
        (
            {"conditions": "camera", "camera_injection": "block", "init_from": "", "model": "unet3d-tiny"},
            "a UNet3D reads a camera as channels of its input, not by block",
        ),
        (
            {"conditions": "camera", "init_from": "", "given_filters": 2},
            "needs a 3-D U-Net and given_residual",
        ),
        (
            {"conditions": "camera", "init_from": "", "given_planes": 8},
            "given_planes is 8, which needs a 3-D U-Net, given_residual and a camera",
        ),
        ({"conditions": "camera,action", "camera_injection": "block"}, "camera_injection is block, but chan"),
    ):
        with pytest.raises(SettingError, match=message):
            train({k: v for k, v in {**settings, "data": data, **bad}.items() if v != ""}, tmp_path / "bad")
    resumed = {**settings, "init_from": str(base), "conditions": "action,camera", "condition_lr_scale": 5.0}
    with pytest.raises(LatentMismatchError, match="units of action"):  # a resume cannot change what they mean
        train({**resumed, "data": other}, trained)
    with pytest.raises(SettingError, match="that reads action and camera"):
        export(trained, tmp_path / "diffusers", "diffusers")


def test_videos_of_any_length_follow_actions_and_a_camera(trained: Path, tmp_path: Path) -> None:
    image, video, actions = tmp_path / "a.png", tmp_path / "a.mp4", tmp_path / "a.npy"
    from PIL import Image

    Image.fromarray(np.full((32, 48, 3), 120, np.uint8)).save(image)
    np.save(actions, np.random.default_rng(0).normal(size=(11, 2)))
    request: dict[str, Any] = {
        "prompt": ["", ""],
        "num_inference_steps": 1,
        "num_threads": 1,
        "image": str(image),
    }
    first = sample(trained, SamplingRequest(**request, actions=str(actions))).videos
    assert first.shape == (2, 12, 32, 48, 3)  # 11 actions, in chunks of 9 frames
    same: dict[str, Any] = {"given": torch.full((2, 1, 32, 48, 3), 120, dtype=torch.uint8)}
    same["conditions"] = {"action": torch.from_numpy(np.load(actions)).expand(2, 11, 2)}
    plain = replace(SamplingRequest(**request), image="")
    assert (sample(trained, plain, **same).videos == first).all()
    with pytest.raises(SettingError, match="action is of 2 videos, and 1 are sampled"):
        sample(trained, replace(plain, prompt=[""]), conditions=same["conditions"])
    with pytest.raises(SettingError, match="given frames"):
        sample(trained, plain, given=same["given"][:, :, :8])
    forward = SamplingRequest(**request, camera_trajectory="forward", num_frames=10)
    other = replace(forward, camera_trajectory="rotate_left", camera_rotation_speed=90.0, camera_fov=60.0)
    videos = [sample(trained, each).videos for each in (forward, other, forward)]
    assert videos[0].shape[1] == 10
    assert (videos[0] != videos[1]).any()
    assert (videos[0] == videos[2]).all()
    command = ["sample", "--model", str(trained), "--out", str(video), "--image", str(image)]
    command += ["--num-inference-steps", "1", "--camera-trajectory", "arc_left"]
    assert main(command) == 0
    assert video.stat().st_size > 100


def test_conditions_that_a_model_does_not_read_are_refused(base: Path, trained: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((2, 2)))
    request = SamplingRequest(prompt=[""], actions=str(tmp_path / "a.npy"), num_threads=1)
    with pytest.raises(SettingError, match="does not read actions"):
        sample(base, request)
    with pytest.raises(SettingError, match="does not read a camera"):
        sample(base, SamplingRequest(prompt=[""], camera_trajectory="forward"))
    with pytest.raises(SettingError, match="num_frames is 9, and the actions or poses are those of 3"):
        sample(trained, replace(request, num_frames=9))
    with pytest.raises(SettingError, match="no camera trajectory 'around'"):
        sample(trained, SamplingRequest(prompt=[""], camera_trajectory="around"))


@pytest.mark.slow
def test_previews_follow_the_conditions_of_their_clip(data: Pairs, tmp_path: Path) -> None:
    settings = {**SHORT, "data": data, "validation_data": data, "steps": 2, "conditions": "action,camera"}
    settings |= {"preview_interval": 2, "preview_num_inference_steps": 1, "lr": 0.1, "action_dropout": 0.0}
    (tmp_path / "prompts.txt").write_text("a street")
    with pytest.raises(SettingError, match="previews of prompts have no action, and action_dropout is 0"):
        train({**settings, "preview_prompts": str(tmp_path / "prompts.txt")}, tmp_path / "refused")
    out = train(settings, tmp_path / "out").model.parent
    world, info = load_model(out)
    shards = LatentShards(data)
    shards.read_conditions(("action", "camera"))
    known = collate([shards.read(0, SampleIndex(0, 0))], [0]).conditioning
    request = SamplingRequest(prompt=[""], num_inference_steps=1, num_threads=1)
    tokenizer = open_tokenizer("", info.latents)
    films = []
    for name, conditioning in (("same", known), ("other", known.without_action())):
        latents = sample_latents(world, info, tokenizer, request, known=conditioning)
        video = tokenizer.decode(latents)[0].clamp(-1, 1)
        frames = ((video + 1) * 127.5).round().to(torch.uint8).permute(1, 2, 3, 0)
        write_video(frames.contiguous().numpy(), info.fps, tmp_path / f"{name}.mp4")
        films.append((tmp_path / f"{name}.mp4").read_bytes())
    assert (out / "previews" / "step-00000002-0.mp4").read_bytes() == films[0] != films[1]
    with pytest.raises(SettingError, match="always had its action in the training, and none is given"):
        sample(out, request)
