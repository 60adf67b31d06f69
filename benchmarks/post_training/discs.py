"""Videos of a red disc that moves on grey, and their latents by the bundled tokenizer."""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from training.tokenizers import load_tokenizer, tokenizer_digest

FRAMES, SIZE, RADIUS = 5, 32, 5.0  # frames, px, px
COLOR, BACKGROUND = (196, 60, 50), (120, 120, 120)
SHAPE = (16, 2, 4, 4)  # c t h w of the latents
Images = npt.NDArray[np.uint8]


def draw_discs(count: int, seed: int) -> Images:
    """Videos, uint8 [count t h w 3]: the disc begins anywhere in the frame and moves up to 2 px a frame."""
    rng = np.random.default_rng(seed)
    start = rng.uniform(RADIUS, SIZE - RADIUS, (count, 1, 2))
    places = start + rng.uniform(-2, 2, (count, 1, 2)) * np.arange(FRAMES)[None, :, None]
    grid = np.arange(SIZE) + 0.5
    dx = grid[None, None, None, :] - places[..., 0, None, None]
    dy = grid[None, None, :, None] - places[..., 1, None, None]
    cover = np.clip(RADIUS + 0.5 - np.sqrt(dx**2 + dy**2), 0, 1)[..., None]
    videos: Images = (cover * np.array(COLOR) + (1 - cover) * np.array(BACKGROUND)).round().astype(np.uint8)
    return videos


@torch.inference_mode()
def encode_discs(videos: Images) -> tuple[Tensor, dict[str, object]]:
    """The latents [n c t h w] of videos, and what their shard says about them."""
    tokenizer = load_tokenizer("small")
    pixels = torch.from_numpy(videos).movedim(-1, 1).float() / 127.5 - 1
    latents = torch.cat([tokenizer.encode(part) for part in torch.split(pixels, 64)])
    metadata: dict[str, object] = {
        "format": 1,
        "tokenizer": "small",
        "tokenizer_digest": tokenizer_digest("small"),
        "stride": list(tokenizer.stride),
        "dtype": "float32",
        "fps": 8.0,
        "shape": list(SHAPE),
    }
    return latents.float(), metadata
