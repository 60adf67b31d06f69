"""Films to learn from carry the truth, and what is learned from them finds their cuts."""

import itertools
from pathlib import Path

import numpy as np
import pytest

from stages.shots import network
from stages.shots.learning.film import film
from stages.shots.learning.sources import animated, painted
from stages.shots.learning.teach import example, teach


@pytest.fixture(scope="module")
def sources() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [*painted(rng, 1), *animated(rng, 2)]


def test_sources_move_and_never_cut(sources: list[np.ndarray]) -> None:
    for source in sources:
        assert source.dtype == np.uint8
        assert source.shape[0] >= 100
        small = source[:, ::8, ::8].astype(float)
        assert np.abs(np.diff(small, axis=0)).mean((1, 2, 3)).max() < 60


@pytest.mark.parametrize("seed", range(3))
def test_the_truth_is_in_order_and_within_the_film(sources: list[np.ndarray], seed: int) -> None:
    made = film(np.random.default_rng(seed), sources)
    assert len({frame.shape for frame in made.frames}) == 1
    edges = sorted([*((cut, cut) for cut in made.cuts), *((a, b) for a, b, _ in made.transitions)])
    assert edges
    assert edges[0][0] > 0
    assert edges[-1][1] <= len(made.frames)
    assert all(one[1] <= two[0] for one, two in itertools.pairwise(edges))


def test_frames_change_where_the_truth_says_cut() -> None:
    plain = [np.full((60, 60, 100, 3), level, np.uint8) for level in (20, 120, 230)]
    steps, cuts = [], 0
    for seed in range(8):
        made = film(np.random.default_rng(seed), plain)
        cuts += len(made.cuts)
        steps += [abs(made.frames[c].mean() - made.frames[c - 1].mean()) for c in made.cuts]
    assert cuts > 10
    assert np.median(steps) > 20


@pytest.mark.slow
def test_what_is_learned_finds_the_cuts_it_was_shown(
    sources: list[np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        one, names = example(film(rng, sources), rng)
        shown.append(one)
    teach(shown, names, tmp_path / "w.safetensors", steps=120, channels=16, seed=0)
    monkeypatch.setattr(network, "WEIGHTS", tmp_path / "w.safetensors")
    network.bundled.cache_clear()
    try:
        taught = network.bundled()
    finally:
        network.bundled.cache_clear()
    told = [(taught(e.measures.astype(np.float32))[:, 0], e.cut > 0) for e in shown]
    at, off = (np.concatenate([said[cut == is_cut] for said, cut in told]) for is_cut in (True, False))
    assert at.mean() > 2 * off.mean()
