"""The numpy network equals the trained torch network; the bundled weights fit the features."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import save_file

from stages.shots import network
from stages.shots.features import compute_features
from stages.shots.training import train


def test_numpy_and_torch_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    torch.manual_seed(0)
    trainable = train._build(7, 6).eval()
    features = torch.randn(1, 90, 7)
    weights = {**trainable.state_dict(), "mean": torch.zeros(7), "spread": torch.ones(7)}
    metadata = {"dilations": " ".join(map(str, train.DILATIONS)), "measures": "a,b,c,d,e,f,g"}
    save_file({name: value[None].contiguous() for name, value in weights.items()}, tmp_path / "w", metadata)
    monkeypatch.setattr(network, "WEIGHTS", tmp_path / "w")
    network.load_network.cache_clear()
    try:
        actual = network.load_network()(features[0].numpy())
    finally:
        network.load_network.cache_clear()
    with torch.inference_mode():
        logits = trainable(features)[0]
    expected = torch.cat([torch.sigmoid(logits[:, :2]), torch.softmax(logits[:, 2:], 1)], 1)
    assert actual == pytest.approx(expected.numpy(), abs=1e-5)


def test_the_bundled_network_was_trained_on_these_features() -> None:
    thumbnails = np.zeros((3, 18, 32), np.uint8), np.zeros((3, 9, 16, 2), np.uint8)
    _, names = compute_features(*thumbnails, np.zeros((3, 4), np.float32))
    assert network.load_network().features == tuple(names)


def test_the_output_depends_only_on_the_context_frames() -> None:
    bundled = network.load_network()
    features = np.random.default_rng(0).normal(size=(200, len(bundled.features))).astype(np.float32)
    whole = bundled(features)
    features[:50] = 0
    changed = np.flatnonzero(np.abs(bundled(features) - whole).max(1) > 1e-6)
    assert changed.max() < 50 + bundled.context_frames
