"""The denoising loss: a velocity's, and the same for a clip in whichever batch it stands."""

from collections.abc import Sequence
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from training.objectives.denoising import CLEANEST, Denoising, TimestepSampler
from training.path import RectifiedFlow, wide


class Clips(NamedTuple):
    ids: Sequence[str]
    latents: Tensor
    captions: Sequence[str]


CLIPS = Clips(
    ("a", "b", "c", "d"), torch.linspace(-1, 1, 4 * 24).reshape(4, 3, 2, 2, 2), ("x", "y", "z", "w")
)


def _some(*which: int) -> Clips:
    return Clips(
        [CLIPS.ids[k] for k in which], CLIPS.latents[list(which)], [CLIPS.captions[k] for k in which]
    )


def _read(captions: Sequence[str], device: torch.device) -> Tensor:
    return torch.tensor([float(len(c)) for c in captions], device=device)


def _objective(denoiser: object = lambda x, t, g: x * 0.5, **settings: float) -> Denoising[Tensor]:
    return Denoising(denoiser, RectifiedFlow(), _read, **settings)  # type: ignore[arg-type]


def test_the_loss_is_the_mean_over_clips_however_they_are_batched() -> None:
    objective = _objective(seed=5)
    whole = objective(CLIPS, 7).total
    halves = (objective(_some(2, 0), 7).total + objective(_some(3, 1), 7).total) / 2
    assert float(halves) == pytest.approx(float(whole), rel=1e-6)
    assert float(objective(CLIPS, 8).total) != pytest.approx(float(whole), rel=1e-3)


def test_a_perfect_guess_costs_nothing_and_it_is_the_velocity_that_is_compared() -> None:
    seen: list[tuple[Tensor, Tensor]] = []

    def perfect(noisy: Tensor, t: Tensor, given: Tensor) -> Tensor:
        seen.append((noisy, t))
        return CLIPS.latents

    def off(noisy: Tensor, t: Tensor, given: Tensor) -> Tensor:
        velocity = (noisy - CLIPS.latents) / wide(t)  # noise - clean
        return noisy - wide(t) * (velocity + 0.3)

    assert float(_objective(perfect)(CLIPS, 0).total) == 0
    assert float(_objective(off)(CLIPS, 0).total) == pytest.approx(0.09, rel=1e-3)
    noisy, t = seen[0]
    noise = (noisy - wide(1 - t) * CLIPS.latents) / wide(t)
    assert 0.7 < float(noise.std()) < 1.3


def test_captions_are_hidden_from_the_share_of_clips_that_is_asked_for() -> None:
    told: list[Tensor] = []

    def listening(noisy: Tensor, t: Tensor, given: Tensor) -> Tensor:
        told.append(given)
        return noisy

    for step in range(300):
        _objective(listening, text_dropout=0.25)(CLIPS, step)
    share = float((torch.cat(told) == 0).float().mean())
    assert share == pytest.approx(0.25, abs=0.05)


def test_levels_are_logit_normal_and_shifted() -> None:
    normals = torch.linspace(-3, 3, 601)
    plain, later = TimestepSampler()(normals), TimestepSampler(shift=5.0)(normals)
    assert float(plain.median()) == pytest.approx(0.5)
    assert float(later.median()) == pytest.approx(5 / 6, rel=1e-5)
    assert float(TimestepSampler(mean=-50.0)(normals).min()) == pytest.approx(CLEANEST)
