"""LPIPS, a distance of images in the features of a network. Source: Zhang et al. 2018, arXiv:1801.03924.

The weights are those of `lpips.LPIPS(net="vgg")` of the package lpips, as its `state_dict` in a .pth or
.safetensors file. They include VGG-16.
"""

import hashlib
import re
from pathlib import Path

import torch
from torch import Tensor, nn

from training.adapters.weight_files import open_weights
from training.tensors import Video
from training.tokenizers.weights import check_keys

LAYERS = (3, 8, 15, 22, 29)  # the last ReLU of each block of VGG-16
WIDTHS = (64, 128, 256, 512, 512)
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # of colors in -1..1
EPS = 1e-10
# Also in the file: constants, and a second name of the linear layers.
_IGNORED = re.compile(r"scaling_layer\.|lins\.")


class LPIPS(nn.Module):
    """LPIPS with VGG-16, version 0.1.

    Args:
        weights: The file.

    Attributes:
        extractor: What computes the features: the network and the first digits of the SHA-256 of the file.

    Raises:
        CheckpointError: The file cannot be read, or has other weights.
    """

    def __init__(self, weights: Path) -> None:
        from torchvision.models import vgg16

        super().__init__()
        with torch.device("meta"):  # no values, which the file has
            self.features = vgg16(weights=None).features[: LAYERS[-1] + 1]
            self.lin = nn.ParameterList(torch.empty(1, width, 1, 1) for width in WIDTHS)
        stored = {
            _rename(name): value for name, value in open_weights(weights).items() if not _IGNORED.match(name)
        }
        check_keys(self.state_dict(), stored, str(weights))
        self.load_state_dict({name: value.float() for name, value in stored.items()}, assign=True)
        self.eval().requires_grad_(False)
        self.extractor = f"VGG-16, weights {hashlib.sha256(weights.read_bytes()).hexdigest()[:12]}"

    def forward(self, video: Video, reference: Video) -> Tensor:
        """The distance of each frame of one video [1 3 t h w] in -1..1 to its reference, [t]."""
        shift, scale = (video.new_tensor(values)[:, None, None] for values in (SHIFT, SCALE))
        x, y = ((each[0].transpose(0, 1) - shift) / scale for each in (video, reference))
        distance = video.new_zeros(video.shape[2])
        for number, layer in enumerate(self.features):
            x, y = layer(x), layer(y)
            if number in LAYERS:
                weight = self.lin[LAYERS.index(number)]
                distance += ((_unit(x) - _unit(y)).square() * weight).sum(1).mean((1, 2))
        return distance


def _unit(features: Tensor) -> Tensor:
    """Features [n c h w] of length 1 at each position."""
    return features / (features.square().sum(1, keepdim=True).sqrt() + EPS)


def _rename(name: str) -> str:
    """net.slice2.5.weight to features.5.weight, and lin0.model.1.weight to lin.0."""
    name = re.sub(r"^net\.slice\d\.", "features.", name)
    return re.sub(r"^lin(\d)\.model\.1\.weight$", r"lin.\1", name)
