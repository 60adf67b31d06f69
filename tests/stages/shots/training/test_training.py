"""Synthetic films have their ground truth, and a network trained on them finds their cuts."""

import itertools
from pathlib import Path

import numpy as np
import pytest

from stages.shots import network
from stages.shots.training.sources import graphics_sources, rendered_sources
from stages.shots.training.synthetic_film import synthesize_film
from stages.shots.training.train import make_example, train


@pytest.fixture(scope="module")
def sources() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [*rendered_sources(rng, 1), *graphics_sources(rng, 2)]


def test_sources_move_without_cuts(sources: list[np.ndarray]) -> None:
    for source in sources:
        assert source.dtype == np.uint8
        assert source.shape[0] >= 100
        small = source[:, ::8, ::8].astype(float)
        assert np.abs(np.diff(small, axis=0)).mean((1, 2, 3)).max() < 60


@pytest.mark.parametrize("seed", range(3))
def test_the_ground_truth_is_in_order_and_within_the_film(sources: list[np.ndarray], seed: int) -> None:
    film = synthesize_film(np.random.default_rng(seed), sources)
    assert len({frame.shape for frame in film.frames}) == 1
    edges = sorted([*((cut, cut) for cut in film.cuts), *((a, b) for a, b, _ in film.transitions)])
    assert edges
    assert edges[0][0] > 0
    assert edges[-1][1] <= len(film.frames)
    assert all(one[1] <= two[0] for one, two in itertools.pairwise(edges))


@pytest.mark.slow
def test_frames_change_at_the_cuts() -> None:
    plain = [np.full((60, 60, 100, 3), level, np.uint8) for level in (20, 120, 230)]
    steps, cuts = [], 0
    for seed in range(8):
        film = synthesize_film(np.random.default_rng(seed), plain)
        cuts += len(film.cuts)
        steps += [abs(film.frames[c].mean() - film.frames[c - 1].mean()) for c in film.cuts]
    assert cuts > 10
    assert np.median(steps) > 20


@pytest.mark.slow
def test_a_trained_network_finds_the_cuts_of_its_training_films(
    sources: list[np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    examples = []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        example, names = make_example(synthesize_film(rng, sources), rng)
        examples.append(example)
    train(examples, names, tmp_path / "w.safetensors", steps=300, channels=16, seed=0)
    monkeypatch.setattr(network, "WEIGHTS", tmp_path / "w.safetensors")
    network.load_network.cache_clear()
    try:
        trained = network.load_network()
    finally:
        network.load_network.cache_clear()
    results = [(trained(e.features.astype(np.float32))[:, 0], e.cut > 0) for e in examples]
    at, off = (
        np.concatenate([probability[cut == is_cut] for probability, cut in results])
        for is_cut in (True, False)
    )
    assert at.mean() > 2 * off.mean()
