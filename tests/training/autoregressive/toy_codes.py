"""Shards of codes in the format of PackLatents: ids that mostly stay the same from frame to frame."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from stages.media.tar import index_bytes, write_tar
from training.networks.autoregressive.config import AutoregressiveConfig
from training.tokenizers import tokenizer_digest

TINY = AutoregressiveConfig(
    hidden_size=24,
    num_hidden_layers=1,
    num_attention_heads=2,
    num_key_value_heads=1,
    head_dim=18,
    intermediate_size=32,
    text_embed_dim=16,
)


def write_codes(
    tar: Path, clips: dict[str, torch.Tensor], sample: dict[str, Any] | None = None, **changes: Any
) -> tuple[str, str]:
    """Write a shard of clips [1 t h w] by id; `sample` changes what samples say, and `changes` the index."""
    metadata = {
        "format": 1,
        "tokenizer": "small-discrete",
        "tokenizer_digest": tokenizer_digest("small-discrete"),
        "stride": [4, 8, 8],
        "dtype": "uint16",
        "fps": 8.0,
        "shape": list(next(iter(clips.values())).shape),
        "samples": len(clips),
        "codebook_size": 64000,
    } | changes
    tar.parent.mkdir(parents=True, exist_ok=True)
    members = write_tar(tar, _members(clips, metadata | (sample or {})))
    index = tar.with_suffix(".parquet")
    index.write_bytes(index_bytes(members, {"clipmill.latents": json.dumps(metadata)}))
    return str(tar), str(index)


def toy_clip(seed: int, shape: tuple[int, int, int] = (3, 2, 3), ids: int = 40) -> torch.Tensor:
    """Ids [1 t h w]: of the first frame random below `ids`; then each stays with probability 0.7."""
    rng = torch.Generator().manual_seed(seed)
    frames = [torch.randint(0, ids, shape[1:], generator=rng)]
    for _ in range(shape[0] - 1):
        stays = torch.rand(shape[1:], generator=rng) < 0.7
        frames.append(torch.where(stays, frames[-1], torch.randint(0, ids, shape[1:], generator=rng)))
    return torch.stack(frames)[None].to(torch.uint16)


def _members(clips: dict[str, torch.Tensor], metadata: dict[str, Any]) -> Iterator[tuple[str, bytes]]:
    for name, codes in clips.items():
        yield f"{name}.json", json.dumps({"id": name, **metadata}).encode()
        yield f"{name}.safetensors", save({"codes": codes})
        yield f"{name}.txt", f"a {name} shot".encode()
