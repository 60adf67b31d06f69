"""The denoising loss is that of the velocity, and does not depend on how clips are batched."""

from collections.abc import Sequence
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from training.objectives.denoising import MIN_TIMESTEP, Denoising, TimestepSampler
from training.path import RectifiedFlow, expand_dims


class LatentBatch(NamedTuple):
    ids: Sequence[str]
    latents: Tensor
    captions: Sequence[str]


CLIPS = LatentBatch(
    ("a", "b", "c", "d"), torch.linspace(-1, 1, 4 * 24).reshape(4, 3, 2, 2, 2), ("x", "y", "z", "w")
)


def _select(*which: int) -> LatentBatch:
    return LatentBatch(
        [CLIPS.ids[k] for k in which], CLIPS.latents[list(which)], [CLIPS.captions[k] for k in which]
    )


def _encode_text(captions: Sequence[str], device: torch.device) -> Tensor:
    return torch.tensor([float(len(c)) for c in captions], device=device)


def _objective(denoiser: object = lambda x, t, conditioning: x * 0.5, **settings: float) -> Denoising[Tensor]:
    return Denoising(denoiser, RectifiedFlow(), _encode_text, **settings)  # type: ignore[arg-type]


def test_the_loss_is_the_mean_over_clips_in_any_batch() -> None:
    objective = _objective(seed=5)
    whole = objective(CLIPS, 7).total
    halves = (objective(_select(2, 0), 7).total + objective(_select(3, 1), 7).total) / 2
    assert float(halves) == pytest.approx(float(whole), rel=1e-6)
    assert float(objective(CLIPS, 8).total) != pytest.approx(float(whole), rel=1e-3)


def test_a_perfect_prediction_has_no_loss_and_the_loss_compares_velocities() -> None:
    calls: list[tuple[Tensor, Tensor]] = []

    def perfect(noisy: Tensor, t: Tensor, conditioning: Tensor) -> Tensor:
        calls.append((noisy, t))
        return CLIPS.latents

    def biased(noisy: Tensor, t: Tensor, conditioning: Tensor) -> Tensor:
        velocity = (noisy - CLIPS.latents) / expand_dims(t)  # noise - clean
        return noisy - expand_dims(t) * (velocity + 0.3)

    assert float(_objective(perfect)(CLIPS, 0).total) == 0
    assert float(_objective(biased)(CLIPS, 0).total) == pytest.approx(0.09, rel=1e-3)
    noisy, t = calls[0]
    noise = (noisy - expand_dims(1 - t) * CLIPS.latents) / expand_dims(t)
    assert 0.7 < float(noise.std()) < 1.3


def test_text_dropout_hides_the_captions_of_its_share_of_clips() -> None:
    conditionings: list[Tensor] = []

    def record(noisy: Tensor, t: Tensor, conditioning: Tensor) -> Tensor:
        conditionings.append(conditioning)
        return noisy

    for step in range(300):
        _objective(record, text_dropout=0.25)(CLIPS, step)
    share = float((torch.cat(conditionings) == 0).float().mean())
    assert share == pytest.approx(0.25, abs=0.05)


def test_timesteps_are_logit_normal_and_shifted() -> None:
    normals = torch.linspace(-3, 3, 601)
    unshifted, shifted = TimestepSampler()(normals), TimestepSampler(shift=5.0)(normals)
    assert float(unshifted.median()) == pytest.approx(0.5)
    assert float(shifted.median()) == pytest.approx(5 / 6, rel=1e-5)
    assert float(TimestepSampler(mean=-50.0)(normals).min()) == pytest.approx(MIN_TIMESTEP)
