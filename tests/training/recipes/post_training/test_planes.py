"""A 3-D U-Net with planes is trained on films of exact pixels, and on the views of several cameras."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from training.evaluation.evaluate import evaluate
from training.model import load_model, read_model_info
from training.networks.unet3d import UNET_CONFIGS, UNet3DConfig
from training.recipes.sampling import SamplingRequest, sample
from training.recipes.world import train
from training.tokenizers import tokenizer_digest

MakeShard = Callable[..., tuple[str, str]]
VIEWS = ("front", "left")
SETTINGS: dict[str, Any] = {
    "model": "unet3d-tiny",
    "conditions": "camera",
    "given_residual": True,
    "given_planes": 3,
    "nearest_plane": 0.5,
    "conditional_frames": (0, 1),
    "text_encoder": "none",
    "batch_size": 2,
    "warmup_steps": 0,
    "lr": 1e-2,
    "steps": 2,
    "num_threads": 1,
    "quiet": True,
}


@pytest.fixture(autouse=True)
def smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    config = UNet3DConfig(8, 1, attention_head_dim=8, text_embed_dim=16, norm_num_groups=4)
    monkeypatch.setitem(UNET_CONFIGS, "unet3d-tiny", config)


def test_the_model_file_knows_the_planes_and_the_size_of_patches(
    make_shard: MakeShard, tmp_path: Path
) -> None:
    data = make_shard(
        "p/000000",
        ["a", "b"],
        shape=(12, 3, 4, 6),
        tokenizer="pixels-2",
        tokenizer_digest=tokenizer_digest("pixels-2"),
        stride=[1, 2, 2],
        conditions={"rate": 12.0, "camera_pose": {"unit": "m"}},
    )
    work = train({**SETTINGS, "data": [data]}, tmp_path / "run").model.parent
    network = read_model_info(work).network
    assert isinstance(network, UNet3DConfig)
    assert (network.given_planes, network.nearest_plane, network.patch) == (3, 0.5, 2)


@pytest.mark.slow
def test_several_cameras_are_trained_evaluated_and_sampled_together(
    make_shard: MakeShard, tmp_path: Path
) -> None:
    data = make_shard(
        "v/000000",
        ["a", "b", "c"],
        tokenizer_digest=tokenizer_digest("small"),
        views=list(VIEWS),
        conditions={"rate": 12.0, "camera_pose": {"unit": "m"}},
    )
    settings = {**SETTINGS, "data": [data], "views": ",".join(VIEWS)}
    work = train(settings, tmp_path / "joint").model.parent
    network = read_model_info(work).network
    assert isinstance(network, UNet3DConfig)
    assert (network.views, network.view_neighbors) == (VIEWS, (VIEWS,))
    losses = evaluate(work, [data], max_clips=1).loss_by_condition
    assert {"other cameras", "views alone"} <= losses.keys()
    model = load_model(work)
    given = torch.randint(0, 255, (2, 1, 32, 48, 3), dtype=torch.uint8)
    request = SamplingRequest(prompt=["", ""], num_inference_steps=1, guidance_scale=1.0, num_threads=1)
    poses = torch.eye(3, 4).repeat(2, 5, 1, 1)
    moved = poses.clone()
    moved[:, :, 2, 3] = torch.linspace(0, 1, 5)
    intrinsics = torch.tensor([32.0, 32.0, 24.0, 16.0]).expand(2, 5, 4)
    still, moving = (
        sample(
            model,
            request,
            conditions={"camera_pose": path, "camera_intrinsics": intrinsics, "origin_pose": path},
            given=given,
        ).videos
        for path in (poses, moved)
    )
    assert still.shape == moving.shape
    assert len(still) == 2
    assert np.array_equal(still[:, 0], moving[:, 0])
    assert not np.array_equal(still, moving)
