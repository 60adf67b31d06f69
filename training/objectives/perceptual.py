"""Distances of videos that follow what people see: structure, VGG features, textures, movement.

Sources: Wang et al. 2003, "Multiscale structural similarity"; Johnson et al. 2016, arXiv:1603.08155 (VGG
features); Gatys et al. 2016 (Gram matrices); Teed & Deng 2020, arXiv:2003.12039 (RAFT); the layer weights are
those of Chen & Koltun 2017, arXiv:1707.09405.
"""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.adapters.weight_files import open_weights
from training.metrics.image_quality import WINDOW, ssim
from training.metrics.lpips import LAYERS
from training.tensors import Scalar, Video
from training.tokenizers.weights import check_keys

SCALES = 3  # of the structural distance
VGG_LAYER_WEIGHTS = (1 / 2.6, 1 / 4.8, 1 / 3.7, 1 / 5.6, 10 / 1.5)
VGG_MEAN, VGG_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
RAFT_MIN_SIZE = 128  # px; RAFT needs multiples of 8


def structural_distance(reconstruction: Video, video: Video) -> Scalar:
    """1 - SSIM, mean over up to three scales; each halves height and width. It needs no weights."""
    values = []
    for scale in range(SCALES):
        if min(video.shape[-2:]) < WINDOW:
            break
        values.append(1 - ssim(reconstruction, video).mean())
        if scale + 1 < SCALES:
            reconstruction, video = (functional.avg_pool3d(v, (1, 2, 2)) for v in (reconstruction, video))
    if not values:
        raise ValueError(f"frames of {tuple(video.shape[-2:])} px are smaller than {WINDOW} px")
    return torch.stack(values).mean()


class VGGFeatures(nn.Module):
    """Features of torchvision's vgg16 at five depths, frame by frame.

    Args:
        weights: File of its weights.

    Raises:
        CheckpointError: The file is not there, or has other weights.
    """

    def __init__(self, weights: Path) -> None:
        from torchvision.models import vgg16

        super().__init__()
        network = vgg16(weights=None)
        del network.classifier, network.avgpool
        _load(network, weights)
        self.layers = network.features[: LAYERS[-1] + 1]

    def forward(self, video: Video) -> list[Tensor]:
        """Features [b*t c h w] of the five layers."""
        x = (video.transpose(1, 2).flatten(0, 1) + 1) / 2
        mean, std = (x.new_tensor(values)[:, None, None] for values in (VGG_MEAN, VGG_STD))
        x, features = (x - mean) / std, []
        for number, layer in enumerate(self.layers):
            x = layer(x)
            if number in LAYERS:
                features.append(x)
        return features

    def perceptual_distance(self, reconstruction: Video, video: Video) -> Scalar:
        """Weighted mean absolute error of the features."""
        pairs = zip(VGG_LAYER_WEIGHTS, self(reconstruction), self(video), strict=True)
        return torch.stack([weight * (x - y).abs().mean() for weight, x, y in pairs]).sum()

    def gram_distance(self, reconstruction: Video, video: Video) -> Scalar:
        """Mean absolute error of the Gram matrices of the features, which do not depend on the place."""
        pairs = zip(self(reconstruction), self(video), strict=True)
        return torch.stack([(_gram(x) - _gram(y)).abs().mean() for x, y in pairs]).sum()


class OpticalFlow(nn.Module):
    """The optical flow between neighboring frames, by torchvision's raft_large.

    Args:
        weights: File of its weights.
        updates: Updates of the flow. Higher values are more exact and slower.

    Raises:
        CheckpointError: The file is not there, or has other weights.
    """

    def __init__(self, weights: Path, updates: int = 6) -> None:
        from torchvision.models.optical_flow import raft_large

        super().__init__()
        self.network = raft_large(weights=None)
        _load(self.network, weights)
        self.updates = updates

    def forward(self, video: Video) -> Tensor:
        """Flow in px from each frame to the next, then from each frame to the one before, [2*b*(t-1) 2 h w].

        Raises:
            ValueError: Sides are under 128 px, or no multiples of 8.
        """
        if min(video.shape[-2:]) < RAFT_MIN_SIZE or any(side % 8 for side in video.shape[-2:]):
            raise ValueError(f"RAFT needs sides that are multiples of 8 px, of {RAFT_MIN_SIZE} px or more")
        frames = video.transpose(1, 2)
        first, second = frames[:, :-1].flatten(0, 1), frames[:, 1:].flatten(0, 1)
        from_frames, to_frames = torch.cat([first, second]), torch.cat([second, first])
        flow: Tensor = self.network(from_frames, to_frames, num_flow_updates=self.updates)[-1]
        return flow

    def flow_distance(self, reconstruction: Video, video: Video) -> Scalar:
        """Mean absolute error of the flow in px; 0 of images."""
        if video.shape[2] == 1:
            return reconstruction.new_zeros(())
        with torch.no_grad():
            expected = self(video)
        error: Tensor = self(reconstruction) - expected
        return error.abs().mean()


def _gram(features: Tensor) -> Tensor:
    """The Gram matrix [n c c] of features [n c h w], a mean over places and divided by the channels."""
    rows = features.flatten(2)
    gram: Tensor = rows @ rows.transpose(1, 2) / rows[0].numel()
    return gram


def _load(network: nn.Module, weights: Path) -> None:
    """Load all weights of a network, which then is not trained.

    Raises:
        CheckpointError: The file is not there, or has other weights.
    """
    stored = {  # without the classifier of vgg16
        name: value.float()
        for name, value in open_weights(weights).items()
        if not name.startswith("classifier.")
    }
    check_keys(network.state_dict(), stored, str(weights))
    network.load_state_dict(stored)
    network.eval().requires_grad_(False)
