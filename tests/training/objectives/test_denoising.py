"""The denoising loss depends on the positions of clips, and counts only generated latents."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from training.diffusion.conditioning import Conditioning
from training.diffusion.loss_weight import VelocityWeight
from training.diffusion.path import RectifiedFlow, expand_dims
from training.diffusion.timestep_sampler import LogitNormal
from training.objectives.denoising import Denoising


class LatentBatch(NamedTuple):
    positions: Sequence[int]
    latents: Tensor
    captions: Sequence[str]
    conditioning: Conditioning = Conditioning()


CLIPS = LatentBatch((5, 6, 7, 8), torch.linspace(-1, 1, 4 * 36).reshape(4, 3, 3, 2, 2), ("x", "y", "z", "w"))


def _select(*which: int) -> LatentBatch:
    return LatentBatch(
        [CLIPS.positions[k] for k in which], CLIPS.latents[list(which)], [CLIPS.captions[k] for k in which]
    )


class LengthEncoder:
    """One token, the length of the caption."""

    embed_dim = 1
    max_length, min_length = 1, 0
    info: Mapping[str, Any] = {"name": "length"}

    def __call__(self, captions: Sequence[str], device: torch.device | str) -> tuple[Tensor, Tensor]:
        lengths = torch.tensor([[[float(len(c))]] for c in captions], device=device)
        return lengths, (lengths[..., 0] > 0).long()


def half(noisy: Tensor, t: Tensor, conditioning: Conditioning) -> Tensor:
    return noisy * 0.5


def _objective(denoiser: Any = half, **settings: Any) -> Denoising:
    path = RectifiedFlow()
    return Denoising(denoiser, path, VelocityWeight(path), LogitNormal(), LengthEncoder(), **settings)


def test_the_loss_is_the_mean_over_clips_in_any_batch() -> None:
    objective = _objective(seed=5, conditional_frames={0: 1.0, 1: 1.0})
    whole = objective(CLIPS, 7).total
    halves = (objective(_select(2, 0), 7).total + objective(_select(3, 1), 7).total) / 2
    assert float(halves) == pytest.approx(float(whole), rel=1e-6)


def test_the_same_clip_at_two_positions_gets_other_noise() -> None:
    seen: list[tuple[Tensor, Tensor]] = []

    def record(noisy: Tensor, t: Tensor, conditioning: Conditioning) -> Tensor:
        seen.append((noisy, t))
        return noisy

    clip = CLIPS.latents[:1].expand(2, -1, -1, -1, -1)
    _objective(record)(LatentBatch((5, 6), clip, ("x", "x")), 0)
    noisy, t = seen[0]
    assert float(t[0]) != float(t[1])
    noise = (noisy - expand_dims(1 - t) * clip) / expand_dims(t)
    assert not torch.isclose(noise[0], noise[1]).any()


def test_a_perfect_prediction_has_no_loss_and_the_loss_compares_velocities() -> None:
    def perfect(noisy: Tensor, t: Tensor, conditioning: Conditioning) -> Tensor:
        return CLIPS.latents

    def biased(noisy: Tensor, t: Tensor, conditioning: Conditioning) -> Tensor:
        velocity = (noisy - CLIPS.latents) / expand_dims(t)  # noise - clean
        return noisy - expand_dims(t) * (velocity + 0.3)

    assert float(_objective(perfect)(CLIPS, 0).total) == 0
    assert float(_objective(biased)(CLIPS, 0).total) == pytest.approx(0.09, rel=1e-3)
    assert float(_objective(biased, loss_scale=10.0)(CLIPS, 0).total) == pytest.approx(0.9, rel=1e-3)


def test_text_dropout_hides_the_captions_of_its_share_of_clips() -> None:
    texts: list[Tensor] = []

    def record(noisy: Tensor, t: Tensor, conditioning: Conditioning) -> Tensor:
        assert conditioning.text_embeddings is not None
        assert conditioning.text_mask is not None
        assert torch.equal(conditioning.text_mask, (conditioning.text_embeddings[..., 0] > 0).long())
        texts.append(conditioning.text_embeddings)
        return noisy

    objective = _objective(record, text_dropout=0.25)
    for step in range(300):
        objective(CLIPS._replace(positions=range(4 * step, 4 * step + 4)), step)
    assert float((torch.cat(texts) == 0).float().mean()) == pytest.approx(0.25, abs=0.05)


def test_text_embeddings_of_the_batch_are_used_as_they_are() -> None:
    texts: list[Tensor | None] = []

    def record(noisy: Tensor, t: Tensor, conditioning: Conditioning) -> Tensor:
        texts.append(conditioning.text_embeddings)
        return noisy

    given = Conditioning(text_embeddings=torch.ones(4, 2, 1))
    _objective(record, text_dropout=0.0)(CLIPS._replace(conditioning=given), 0)
    assert texts[0] is not None
    assert torch.equal(texts[0], torch.ones(4, 2, 1))


def test_given_frames_follow_the_odds_and_do_not_count_in_the_loss() -> None:
    masks: list[Tensor] = []

    def wrong_where_given(noisy: Tensor, t: Tensor, conditioning: Conditioning) -> Tensor:
        assert conditioning.condition_mask is not None
        assert conditioning.condition_latents is not None
        assert torch.equal(conditioning.condition_latents, CLIPS.latents)
        masks.append(conditioning.condition_mask)
        return CLIPS.latents + 100 * conditioning.condition_mask + expand_dims(t) * 0.3

    objective = _objective(wrong_where_given, conditional_frames={0: 2.0, 1: 1.0, 2: 1.0, 3: 9.0})
    for step in range(200):
        loss = objective(CLIPS._replace(positions=range(4 * step, 4 * step + 4)), step).total
        assert float(loss) == pytest.approx(0.09, rel=1e-3)
    frames = torch.cat(masks)[:, 0, :, 0, 0].sum(1)  # 3 would leave no frame to generate
    shares = [float((frames == n).float().mean()) for n in range(4)]
    assert shares == pytest.approx([0.5, 0.25, 0.25, 0.0], abs=0.05)


def test_an_image_is_always_generated() -> None:
    masks: list[Tensor | None] = []

    def record(noisy: Tensor, t: Tensor, conditioning: Conditioning) -> Tensor:
        masks.append(conditioning.condition_mask)
        return noisy

    images = CLIPS._replace(latents=CLIPS.latents[:, :, :1])
    _objective(record, conditional_frames={1: 1.0})(images, 0)
    assert masks[0] is not None
    assert not masks[0].any()


def test_only_the_loss_of_images_is_scaled() -> None:
    images = CLIPS._replace(latents=CLIPS.latents[:, :, :1])
    plain, scaled = _objective(seed=1), _objective(seed=1, image_loss_scale=4.0)
    assert float(scaled(images, 3).total) == 4 * float(plain(images, 3).total) > 0
    assert float(scaled(CLIPS, 3).total) == float(plain(CLIPS, 3).total)


def test_augmented_frames_get_noise_of_their_own() -> None:
    seen: list[Conditioning] = []

    def record(noisy: Tensor, t: Tensor, conditioning: Conditioning) -> Tensor:
        seen.append(conditioning)
        return noisy

    sampler = LogitNormal(mean=-3.0)
    _objective(record, conditional_frames={1: 1.0}, condition_timestep_sampler=sampler)(CLIPS, 0)
    t, given = seen[0].condition_timestep, seen[0].condition_latents
    assert t is not None
    assert given is not None
    assert float(t.max()) < 0.5
    noise = (given - expand_dims(1 - t) * CLIPS.latents) / expand_dims(t)
    assert 0.7 < float(noise.std()) < 1.3


def test_an_uncertainty_head_learns_the_loss() -> None:
    """At its optimum u is the logarithm of the loss, and the total is 1 + u."""

    class Constant(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.value = nn.Parameter(torch.zeros(()))

        def forward(self, t: Tensor) -> Tensor:
            return self.value.expand(len(t))

    head = Constant()
    objective = _objective(uncertainty=head)
    optimizer = torch.optim.Adam(head.parameters(), lr=0.05)
    for _ in range(200):
        loss = objective(CLIPS, 0)
        optimizer.zero_grad()
        loss.total.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    assert float(head.value.detach()) == pytest.approx(float(loss.parts["weighted_mse"].log()), abs=0.02)
    assert float(loss.total.detach()) == pytest.approx(1 + float(head.value.detach()), abs=0.02)


def test_groups_add_up_over_batches() -> None:
    """Sums and counts by noise level, kind and mode are those of all clips in any batches."""
    objective = _objective(seed=5, conditional_frames={0: 1.0, 1: 1.0})
    whole = objective(CLIPS, 7)
    parts = [objective(_select(*which), 7).groups for which in ((2, 0), (3,), (1,))]
    for name, pair in whole.groups.items():
        torch.testing.assert_close(sum(each[name] for each in parts), pair)
    for kind in ("loss_by_timestep", "loss_by_kind", "loss_by_mode"):
        total = sum(pair for name, pair in whole.groups.items() if name.startswith(kind))
        torch.testing.assert_close(total, torch.stack([4 * whole.total, torch.tensor(4.0)]))
    given = int(whole.groups["loss_by_mode/image_to_video"][1])
    assert 0 < given < 4
    assert int(whole.groups["loss_by_mode/text_to_video"][1]) == 4 - given
    assert list(whole.groups)[:5] == [f"loss_by_timestep/{t}" for t in (0.1, 0.3, 0.5, 0.7, 0.9)]
