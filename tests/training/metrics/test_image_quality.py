"""PSNR and SSIM against their formulas, computed window by window."""

import numpy as np
import pytest
import torch

from training.metrics.image_quality import psnr, ssim


def _pair(*shape: int) -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(2)
    reference = torch.rand(shape, generator=rng) * 2 - 1
    return (reference + 0.2 * torch.randn(shape, generator=rng)).clamp(-1, 1), reference


def _ssim(x: np.ndarray, y: np.ndarray) -> float:
    """SSIM of two images [h w] with values 0..255, by its definition with weighted means and products."""
    offsets = np.arange(-5, 6)
    line = np.exp(-(offsets**2) / (2 * 1.5**2))
    weight = np.outer(line, line) / line.sum() ** 2
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    scores = []
    for top in range(x.shape[0] - 10):
        for left in range(x.shape[1] - 10):
            a, b = x[top : top + 11, left : left + 11], y[top : top + 11, left : left + 11]
            ma, mb = (weight * a).sum(), (weight * b).sum()
            va, vb = (weight * (a - ma) ** 2).sum(), (weight * (b - mb) ** 2).sum()
            ab = (weight * (a - ma) * (b - mb)).sum()
            scores.append((2 * ma * mb + c1) * (2 * ab + c2) / ((ma**2 + mb**2 + c1) * (va + vb + c2)))
    return float(np.mean(scores))


def test_ssim_is_the_mean_of_the_formula_over_windows_frames_and_colors() -> None:
    video, reference = _pair(2, 3, 2, 14, 13)
    as_bytes = [((v.double() + 1) * 127.5).numpy() for v in (video, reference)]
    for clip, score in enumerate(ssim(video.double(), reference.double()).tolist()):
        each = [_ssim(*(v[clip, c, t] for v in as_bytes)) for c in range(3) for t in range(2)]
        assert score == pytest.approx(np.mean(each), abs=1e-9)


def test_ssim_of_equal_videos_is_one_and_small_frames_are_refused() -> None:
    _, reference = _pair(1, 3, 1, 16, 16)
    assert float(ssim(reference, reference)) == pytest.approx(1)
    with pytest.raises(ValueError, match="smaller than SSIM's window"):
        ssim(reference[..., :10], reference[..., :10])


def test_psnr_of_bytes() -> None:
    video, reference = _pair(2, 3, 2, 8, 8)
    as_bytes = [((v.double() + 1) * 127.5).numpy() for v in (video, reference)]
    for clip, score in enumerate(psnr(video.double(), reference.double()).tolist()):
        error = np.mean((as_bytes[0][clip] - as_bytes[1][clip]) ** 2)
        assert score == pytest.approx(10 * np.log10(255**2 / error), abs=1e-9)
    assert float(psnr(reference + 5, torch.ones_like(reference))[0]) == float("inf")  # clamped to white
