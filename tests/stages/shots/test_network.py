"""The network in arrays says what the one that learned says; the bundled one fits the measures."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import save_file

from stages.shots import network
from stages.shots.evidence import evidence
from stages.shots.learning import teach


def test_arrays_and_torch_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    torch.manual_seed(0)
    learner = teach._build(7, 6).eval()
    measures = torch.randn(1, 90, 7)
    weights = {**learner.state_dict(), "mean": torch.zeros(7), "spread": torch.ones(7)}
    told = {"dilations": " ".join(map(str, teach.DILATIONS)), "measures": "a,b,c,d,e,f,g"}
    save_file({name: value.contiguous() for name, value in weights.items()}, tmp_path / "w", told)
    monkeypatch.setattr(network, "WEIGHTS", tmp_path / "w")
    network.bundled.cache_clear()
    try:
        ours = network.bundled()(measures[0].numpy())
    finally:
        network.bundled.cache_clear()
    with torch.inference_mode():
        said = learner(measures)[0]
    theirs = torch.cat([torch.sigmoid(said[:, :2]), torch.softmax(said[:, 2:], 1)], 1)
    assert ours == pytest.approx(theirs.numpy(), abs=1e-5)


def test_the_bundled_network_was_taught_these_measures() -> None:
    thumbs = np.zeros((3, 18, 32), np.uint8), np.zeros((3, 9, 16, 2), np.uint8)
    _, names = evidence(*thumbs, np.zeros((3, 4), np.float32))
    assert network.bundled().measures == tuple(names)


def test_it_hears_no_farther_than_it_says() -> None:
    bundled = network.bundled()
    measures = np.random.default_rng(0).normal(size=(200, len(bundled.measures))).astype(np.float32)
    whole = bundled(measures)
    measures[:50] = 0
    changed = np.flatnonzero(np.abs(bundled(measures) - whole).max(1) > 1e-6)
    assert changed.max() < 50 + bundled.reach
