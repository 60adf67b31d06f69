"""Linear tokenizers: the start of a training, and baselines that tests compare with.

Each keeps 16 coefficients of a patch: those of largest variance in an orthonormal Haar wavelet packet over
gray and two color differences, or the principal components. No linear map has a smaller error than the
latter.
"""

import math

import torch
from torch import Tensor

from training.tensors import Video
from training.tokenizer import Stride
from training.tokenizers.patches import from_patches, to_patches


class LinearTokenizer:
    """Projects patches on orthonormal vectors.

    Args:
        basis: The vectors, [k p].
        mean: Mean of the patches, [p].
        std: Standard deviation of each coefficient, [k].
        stride: Frames and pixels per patch.
    """

    def __init__(self, basis: Tensor, mean: Tensor, std: Tensor, stride: Stride) -> None:
        self.basis, self.mean, self.std, self.stride = basis, mean, std, stride

    def reconstruct(self, video: Video) -> Video:
        """Encode and decode a video."""
        centered = to_patches(video, self.stride) - self.mean[:, None, None]
        coefficients = torch.einsum("kp,btphw->btkhw", self.basis, centered)
        patches = torch.einsum("kp,btkhw->btphw", self.basis, coefficients) + self.mean[:, None, None]
        return from_patches(patches, self.stride)


def principal(covariance: Tensor, mean: Tensor, channels: int, stride: Stride) -> LinearTokenizer:
    """The principal components of patches with this covariance [p p] and mean [p]."""
    variances, vectors = torch.linalg.eigh(covariance.double())
    basis = vectors[:, -channels:].T.flip(0)
    std = variances[-channels:].flip(0).clamp(min=0).sqrt()
    return LinearTokenizer(basis.float(), mean.float(), std.float(), stride)


def truncated_haar(covariance: Tensor, mean: Tensor, channels: int, stride: Stride) -> LinearTokenizer:
    """The Haar coefficients of largest variance, for patches with this covariance [p p] and mean [p]."""
    colors = torch.tensor([[1, 1, 1], [1, 0, -1], [1, -2, 1]], dtype=torch.float64)
    basis = colors / colors.norm(dim=1, keepdim=True)
    for size in stride:
        basis = torch.kron(basis, haar_basis(size))
    variances = torch.einsum("kp,pq,kq->k", basis, covariance.double(), basis)
    order = variances.argsort(descending=True)[:channels]
    return LinearTokenizer(basis[order].float(), mean.float(), variances[order].sqrt().float(), stride)


def haar_basis(size: int) -> Tensor:
    """The orthonormal Haar wavelet packet of a power of two, [size size], float64; all bands are split."""
    pair = torch.tensor([[1, 1], [1, -1]], dtype=torch.float64) / math.sqrt(2)
    basis = torch.ones(1, 1, dtype=torch.float64)
    while len(basis) < size:
        basis = torch.kron(pair, basis)
    return basis


def patch_moments(videos: list[Video], stride: Stride) -> tuple[Tensor, Tensor]:
    """Covariance [p p] and mean [p] of all patches of the videos, float64."""
    count, total, products = 0, torch.zeros((), dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    for video in videos:
        rows = to_patches(video, stride).movedim(2, -1).flatten(0, -2).double()  # [n p]
        count, total, products = count + len(rows), total + rows.sum(0), products + rows.T @ rows
    mean = total / count
    return products / count - mean[:, None] * mean, mean
