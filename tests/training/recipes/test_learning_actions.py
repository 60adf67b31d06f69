"""A model that was trained with actions needs the right ones: a blob moves as the actions say."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save
from torch import Tensor

from stages.media.tar import index_bytes, write_tar
from training.errors import SettingError
from training.evaluation.evaluate import evaluate
from training.model import load_model
from training.recipes.export import export
from training.recipes.world import train

SHAPE = (4, 3, 8, 8)
CONDITIONS = {
    "rate": 8.0,
    "action": {
        "names": ["dx", "dy"],
        "units": ["latents", "latents"],
        "frame": "image",
        "mean": [0.0, 0.0],
        "std": [0.8, 0.8],
    },
}
METADATA: dict[str, Any] = {
    "format": 1,
    "tokenizer": "blob",
    "tokenizer_digest": "blob",
    "stride": [1, 8, 8],
    "dtype": "float32",
    "fps": 8.0,
    "shape": list(SHAPE),
    "conditions": CONDITIONS,
}


def make_clip(seed: int) -> tuple[Tensor, Tensor]:
    """Latents [c t h w] of a blob, and the actions [t-1 2] that move it."""
    rng = torch.Generator().manual_seed(seed)
    actions = torch.randint(-1, 2, (SHAPE[1] - 1, 2), generator=rng).float()
    start = 2 + 4 * torch.rand(2, generator=rng)
    places = torch.cat([start[None], start + actions.cumsum(0)])
    x, y = torch.arange(SHAPE[3]), torch.arange(SHAPE[2])[:, None]
    squared = (x - places[:, 0, None, None]) ** 2 + (y - places[:, 1, None, None]) ** 2
    blob = 4 * torch.exp(-squared / 2) - 0.5
    return blob * torch.tensor([1.0, -1.0, 0.5, 0.8])[:, None, None, None], actions


def write_clips(folder: Path, seeds: range) -> list[tuple[str, str]]:
    members = []
    for seed in seeds:
        latents, actions = make_clip(seed)
        members += [
            (f"{seed}.json", json.dumps(METADATA).encode()),
            (f"{seed}.safetensors", save({"latents": latents.contiguous()})),
            (f"{seed}.txt", b""),
            (f"{seed}.conditions.safetensors", save({"action": actions})),
        ]
    folder.mkdir()
    tar = folder / "000000.tar"
    written = write_tar(tar, iter(members))
    footer = {"clipmill.latents": json.dumps(METADATA | {"samples": len(seeds)})}
    tar.with_suffix(".parquet").write_bytes(index_bytes(written, footer))
    return [(str(tar), str(tar.with_suffix(".parquet")))]


@pytest.mark.slow
def test_right_actions_beat_shuffled_ones(tmp_path: Path) -> None:
    data, held_out = write_clips(tmp_path / "a", range(400)), write_clips(tmp_path / "b", range(400, 424))
    settings: dict[str, Any] = {
        "data": data,
        "text_encoder": "none",
        "num_threads": 1,
        "quiet": True,
        "batch_size": 8,
        "lr": 3e-3,
        "checkpoint_interval": 1000,
        "conditional_frames": (0.0, 1.0),
    }
    base = train({**settings, "steps": 60}, tmp_path / "base").model
    conditions = {"init_from": str(base.parent), "conditions": "action", "condition_lr_scale": 3.0}
    trained = train({**settings, **conditions, "steps": 200}, tmp_path / "trained").model
    losses = evaluate(trained, held_out, num_threads=1).loss_by_condition
    assert losses["right"] < 0.75 * losses["shuffled"]
    assert losses["right"] < 0.9 * losses["none"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["unet3d-nano", "convrnn-nano"])
def test_a_network_predicts_the_differences_to_the_last_given_frame(name: str, tmp_path: Path) -> None:
    data, held_out = write_clips(tmp_path / "a", range(400)), write_clips(tmp_path / "b", range(400, 424))
    settings: dict[str, Any] = {
        "data": data,
        "model": name,
        "conditions": "action",
        "text_encoder": "none",
        "num_threads": 1,
        "quiet": True,
        "batch_size": 8,
        "lr": 3e-3,
        "steps": 120,
        "checkpoint_interval": 1000,
        "conditional_frames": (0.0, 1.0),
        "condition_timestep": 0.001,
        "given_residual": True,
    }
    model = train(settings, tmp_path / "model").model
    losses = evaluate(model, held_out, num_threads=1).loss_by_condition
    assert losses["right"] < 0.75 * losses["shuffled"]
    assert load_model(model)[0].diffusion.given_residual
    with pytest.raises(SettingError, match="reads action and the last given frame"):
        export(model.parent, tmp_path / "diffusers", "diffusers")
