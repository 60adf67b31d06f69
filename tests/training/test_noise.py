"""Noise depends on the sample and the step, and not on the batch, the order or the process."""

import pytest
import torch

from training.noise import normal, uniform


def test_noise_does_not_depend_on_earlier_draws() -> None:
    first = normal(3, "clip", 17, (4, 5))
    normal(3, "another", 17, (100,))
    assert torch.equal(normal(3, "clip", 17, (4, 5)), first)


@pytest.mark.parametrize("other", [(4, "clip", 17), (3, "clip2", 17), (3, "clip", 18)])
def test_noise_depends_on_seed_sample_and_step(other: tuple[int, str, int]) -> None:
    assert not torch.isclose(normal(*other, (64,)), normal(3, "clip", 17, (64,))).any()


def test_purposes_have_separate_streams_and_seed_and_sample_are_not_concatenated() -> None:
    assert not torch.isclose(normal(3, "c", 0, (9,), "a"), normal(3, "c", 0, (9,), "b")).any()
    assert not torch.isclose(normal(1, "1c", 0, (9,)), normal(11, "c", 0, (9,))).any()


def test_noise_has_these_values_in_every_process_and_release() -> None:
    assert normal(3, "clip", 17, (4,)).tolist() == pytest.approx(
        [-0.9966444, 0.3454046, 0.6568351, 1.0439404], rel=1e-6
    )
    assert uniform(3, "clip", 17, (2,)).tolist() == pytest.approx([0.9021627, 0.9050838], rel=1e-6)


def test_moments_of_many_samples() -> None:
    z = torch.stack([normal(0, str(k), 5, (50,)) for k in range(400)])
    u = torch.stack([uniform(0, str(k), 5, ()) for k in range(4000)])
    assert abs(float(z.mean())) < 0.03
    assert abs(float(z.std()) - 1) < 0.03
    assert abs(float((z[1:] * z[:-1]).mean())) < 0.03  # of neighbors
    assert 0 <= float(u.min()) < 0.01
    assert 0.99 < float(u.max()) < 1
    assert abs(float(u.mean()) - 0.5) < 0.03
