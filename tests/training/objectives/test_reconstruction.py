"""The reconstruction loss: nothing for the same video, more where borders show."""

import pytest
import torch
from torch import Tensor, nn

from training.objectives.reconstruction import Reconstruction


class Off(nn.Module):
    """Gives the video back with an error added."""

    def __init__(self, error: Tensor) -> None:
        super().__init__()
        self.error = error

    def forward(self, video: Tensor) -> tuple[Tensor, Tensor]:
        return video + self.error, video


def test_an_even_error_has_no_differences_and_a_checkered_one_has() -> None:
    video = torch.rand(1, 3, 3, 4, 4)
    even = Reconstruction(Off(torch.tensor(0.1)))(video, 0)
    board = (torch.arange(4)[:, None] + torch.arange(4)) % 2 * 0.2
    checkered = Reconstruction(Off(board))(video, 0)
    assert float(even.total) == pytest.approx(0.1, rel=1e-4)
    assert float(even.parts["mse"]) == pytest.approx(0.01, rel=1e-4)
    assert float(checkered.parts["values"]) == pytest.approx(0.1, rel=1e-4)
    assert float(checkered.parts["differences"]) == pytest.approx((0 + 0.2 + 0.2) / 3, rel=1e-4)
    assert float(checkered.total) > float(even.total)


def test_an_image_has_no_differences_in_time() -> None:
    assert float(Reconstruction(Off(torch.tensor(0.1)))(torch.rand(1, 3, 1, 4, 4), 0).total) > 0
