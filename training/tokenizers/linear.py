"""Linear tokenizers: what must be beaten, and where training starts.

Each keeps 16 numbers of a patch: those of the greatest variance in an orthonormal Haar wavelet packet over
grey and two colour differences, or the principal components, than which no linear map has a smaller error.
"""

import math

import torch
from torch import Tensor

from training.tensors import Video
from training.tokenizer import Stride
from training.tokenizers.patches import from_patches, to_patches


class Linear:
    """Patches projected on orthonormal vectors `basis` [k p] around a `mean` [p]."""

    def __init__(self, basis: Tensor, mean: Tensor, deviations: Tensor, stride: Stride) -> None:
        self.basis, self.mean, self.deviations, self.stride = basis, mean, deviations, stride

    def there_and_back(self, video: Video) -> Video:
        patches = to_patches(video, self.stride)
        centred = patches - self.mean[:, None, None]
        kept = torch.einsum("kp,btphw->btkhw", self.basis, centred)
        back = torch.einsum("kp,btkhw->btphw", self.basis, kept) + self.mean[:, None, None]
        return from_patches(back, self.stride)


def principal(covariance: Tensor, mean: Tensor, channels: int, stride: Stride) -> Linear:
    """The principal components of patches with this covariance [p p] and mean [p]."""
    variances, vectors = torch.linalg.eigh(covariance.double())
    kept = vectors[:, -channels:].T.flip(0)
    deviations = variances[-channels:].flip(0).clamp(min=0).sqrt()
    return Linear(kept.float(), mean.float(), deviations.float(), stride)


def truncated_haar(covariance: Tensor, mean: Tensor, channels: int, stride: Stride) -> Linear:
    """The coefficients of the Haar packet that vary most, for patches with this covariance and mean."""
    colours = torch.tensor([[1, 1, 1], [1, 0, -1], [1, -2, 1]], dtype=torch.float64)
    whole = colours / colours.norm(dim=1, keepdim=True)
    for size in stride:
        whole = torch.kron(whole, haar(size))
    variances = torch.einsum("kp,pq,kq->k", whole, covariance.double(), whole)
    order = variances.argsort(descending=True)[:channels]
    return Linear(whole[order].float(), mean.float(), variances[order].sqrt().float(), stride)


def haar(size: int) -> Tensor:
    """The orthonormal Haar packet of a power of two, [size size], float64: all bands split to the end."""
    pair = torch.tensor([[1, 1], [1, -1]], dtype=torch.float64) / math.sqrt(2)
    whole = torch.ones(1, 1, dtype=torch.float64)
    while len(whole) < size:
        whole = torch.kron(pair, whole)
    return whole


def moments(videos: list[Video], stride: Stride) -> tuple[Tensor, Tensor]:
    """Covariance [p p] and mean [p] of all patches of some videos, float64."""
    count, total, products = 0, torch.zeros((), dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    for video in videos:
        rows = to_patches(video, stride).movedim(2, -1).flatten(0, -2).double()  # [n p]
        count, total, products = count + len(rows), total + rows.sum(0), products + rows.T @ rows
    mean = total / count
    return products / count - mean[:, None] * mean, mean
