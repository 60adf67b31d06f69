"""The Fréchet video distance (FVD). Source: Unterthiner et al. 2018, arXiv:1812.01717.

The extractor is a TorchScript file. That of StyleGAN-V, I3D trained on Kinetics-400, is the usual one: it is
called with videos [b 3 t 224 224] in -1..1 and `rescale=False, resize=False, return_features=True`.
"""

import hashlib
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from training.errors import CheckpointError
from training.tensors import Video

SIZE_PX = 224
MIN_FRAMES = 10  # of I3D


class VideoFeatures:
    """Features of whole videos.

    Args:
        weights: The TorchScript file.
        device: Where to compute.

    Attributes:
        extractor: The name of the file and the first digits of its SHA-256.

    Raises:
        CheckpointError: The file cannot be read.
    """

    def __init__(self, weights: Path, device: torch.device | str = "cpu") -> None:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                load: Any = torch.jit.load
                self._network = load(str(weights), map_location=device).eval()
        except (RuntimeError, ValueError, OSError) as error:
            raise CheckpointError(
                f"the extractor of FVD cannot be read: {str(error).splitlines()[0]}",
                where=str(weights),
                remedy="name a TorchScript file, such as i3d_torchscript.pt of StyleGAN-V",
            ) from error
        self.extractor = f"{weights.name}, {hashlib.sha256(weights.read_bytes()).hexdigest()[:12]}"

    @torch.inference_mode()
    def __call__(self, video: Video) -> Tensor:
        """The features of videos in -1..1, float64 [b n]; frames are scaled to 224 px, bilinear.

        Raises:
            CheckpointError: The extractor has another signature, or fails.
        """
        b, _, t, _, _ = video.shape
        frames = interpolate(video.transpose(1, 2).flatten(0, 1), (SIZE_PX, SIZE_PX), mode="bilinear")
        scaled = frames.reshape(b, t, 3, SIZE_PX, SIZE_PX).transpose(1, 2)
        try:
            features = self._network(scaled, rescale=False, resize=False, return_features=True)
        except (RuntimeError, TypeError) as error:
            raise self._refusal(f"it fails: {str(error).strip().splitlines()[-1]}", t) from error
        if not isinstance(features, Tensor) or features.ndim != 2 or len(features) != b:
            raise self._refusal("it returns no features [b n]", t)
        return features.double().cpu()

    def _refusal(self, what: str, frames: int) -> CheckpointError:
        return CheckpointError(
            f"the extractor of FVD cannot be used on {frames} frames of {SIZE_PX} px: {what}",
            where=self.extractor,
            remedy="name a module that is called with videos [b 3 t 224 224] and rescale, resize and"
            " return_features, as i3d_torchscript.pt of StyleGAN-V",
        )


def frechet_distance(x: Tensor, y: Tensor) -> float:
    """|mean_x - mean_y|^2 + tr(C_x + C_y - 2 (C_x C_y)^(1/2)) of two sets of features [n d].

    Raises:
        ValueError: A set has fewer than two videos.
    """
    if min(len(x), len(y)) < 2:
        raise ValueError("FVD needs two videos or more")
    x, y = x.double(), y.double()
    cov_x, cov_y = (torch.cov(features.T).reshape(x.shape[1], -1) for features in (x, y))
    roots = torch.linalg.eigvals(cov_x @ cov_y).real.clamp(min=0).sqrt()
    distance = (x.mean(0) - y.mean(0)).square().sum() + cov_x.trace() + cov_y.trace() - 2 * roots.sum()
    return float(distance.clamp(min=0))
