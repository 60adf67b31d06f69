"""Fixtures: a small tokenizer with random weights, and clips to encode."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from manifests import Artifact

MakeClip = Callable[..., Artifact]


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The path of a tokenizer of stride 4 x 8 x 8 with 6 channels."""
    import torch

    from training.tokenizers.patch import PatchTokenizer, PatchTokenizerConfig
    from training.tokenizers.weights import save_weights

    torch.manual_seed(0)
    config = PatchTokenizerConfig(channels=6, width=8, encoder_blocks=1, decoder_blocks=1)
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.safetensors"
    save_weights(PatchTokenizer(config), path, {})
    return str(path)


@pytest.fixture
def make_clip(tmp_path: Path) -> MakeClip:
    """make_clip(frames, fps, width, height) -> an mp4 in which a bright bar moves."""
    from stages.media.encoding.arrays import write_mp4

    def make(frames: int = 24, fps: int = 24, width: int = 120, height: int = 68, seed: int = 0) -> Artifact:
        path = tmp_path / f"{frames}-{fps}-{width}-{height}-{seed}.mp4"
        noise = np.random.default_rng(seed).integers(0, 120, (height, width, 3), np.uint8)
        images = []
        for number in range(frames):
            image = noise.copy()
            image[:, (4 * number) % width : (4 * number) % width + 12] += 120
            images.append(image)
        write_mp4(path, images, fps, preset="ultrafast")
        return Artifact.of_file(path)

    return make
