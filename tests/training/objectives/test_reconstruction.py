"""The reconstruction loss is zero for equal videos, and higher where borders are visible."""

import pytest
import torch
from torch import Tensor, nn

from training.objectives.reconstruction import Reconstruction


class Biased(nn.Module):
    """Returns the video with an error added."""

    def __init__(self, error: Tensor) -> None:
        super().__init__()
        self.error = error

    def forward(self, video: Tensor) -> tuple[Tensor, Tensor]:
        return video + self.error, video


def test_a_constant_error_has_no_differences_and_a_checkered_one_has() -> None:
    video = torch.rand(1, 3, 3, 4, 4)
    constant = Reconstruction(Biased(torch.tensor(0.1)))(video, 0)
    board = (torch.arange(4)[:, None] + torch.arange(4)) % 2 * 0.2
    checkered = Reconstruction(Biased(board))(video, 0)
    assert float(constant.total) == pytest.approx(0.1, rel=1e-4)
    assert float(constant.parts["mse"]) == pytest.approx(0.01, rel=1e-4)
    assert float(checkered.parts["values"]) == pytest.approx(0.1, rel=1e-4)
    assert float(checkered.parts["differences"]) == pytest.approx((0 + 0.2 + 0.2) / 3, rel=1e-4)
    assert float(checkered.total) > float(constant.total)


def test_an_image_has_no_differences_in_time() -> None:
    assert float(Reconstruction(Biased(torch.tensor(0.1)))(torch.rand(1, 3, 1, 4, 4), 0).total) > 0
