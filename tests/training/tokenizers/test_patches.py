"""Patches contain every value once, and the linear tokenizers have their defining properties."""

import pytest
import torch

from training.tokenizer import Stride, count_latent_frames
from training.tokenizers.linear import haar_basis, patch_moments, principal, truncated_haar
from training.tokenizers.patches import from_patches, to_patches

STRIDE = Stride(4, 8, 8)


def _video(frames: int = 9, clips: int = 2) -> torch.Tensor:
    rng = torch.Generator().manual_seed(frames)
    coarse = torch.randn(clips, 3, frames, 4, 6, generator=rng)
    return torch.nn.functional.interpolate(coarse, (frames, 16, 24), mode="trilinear").tanh()


@pytest.mark.parametrize("frames", [1, 5, 13])
def test_patches_give_the_video_back(frames: int) -> None:
    video = _video(frames)
    patches = to_patches(video, STRIDE)
    assert patches.shape == (2, 1 + (frames - 1) // 4, 768, 2, 3)
    assert torch.equal(from_patches(patches, STRIDE), video)


def test_the_first_patch_repeats_the_first_frame_and_the_second_has_the_next_four() -> None:
    video = _video()
    first, second = (to_patches(video, STRIDE)[:, k].reshape(2, 3, 4, 8, 8, 2, 3) for k in (0, 1))
    corner = video[:, :, :, :8, 8:16]
    assert torch.equal(first[..., 0, 1], corner[:, :, [0, 0, 0, 0]])
    assert torch.equal(second[..., 0, 1], corner[:, :, 1:5])


def test_other_shapes_are_refused_with_a_valid_one() -> None:
    with pytest.raises(ValueError, match="keep the first 5"):
        to_patches(_video(8), STRIDE)
    with pytest.raises(ValueError, match="multiples"):
        to_patches(_video()[..., :20], STRIDE)
    with pytest.raises(ValueError, match="0 frames"):
        count_latent_frames(0, 4)
    assert [count_latent_frames(n, 4) for n in (1, 5, 49)] == [1, 2, 13]


def test_the_haar_basis_is_orthonormal_and_starts_with_the_mean() -> None:
    basis = haar_basis(8)
    assert torch.allclose(basis @ basis.T, torch.eye(8, dtype=torch.float64))
    assert torch.allclose(basis[0], torch.full((8,), 8**-0.5, dtype=torch.float64))


def test_principal_components_have_less_error_than_wavelets_and_all_coefficients_have_none() -> None:
    videos = [_video(9), _video(5)]
    covariance, mean = patch_moments(videos, STRIDE)
    errors = [
        sum(float((fit(covariance, mean, 16, STRIDE).reconstruct(v) - v).square().sum()) for v in videos)
        for fit in (principal, truncated_haar)
    ]
    assert 0 < errors[0] < errors[1]
    whole = truncated_haar(covariance, mean, 768, STRIDE)
    assert torch.allclose(whole.reconstruct(videos[0]), videos[0], atol=1e-4)
