"""The fast convolution of the Cosmos tokenizers has the values of the direct one."""

import pytest
import torch

from training.tokenizers.cosmos import winograd
from training.tokenizers.cosmos.layers import Conv
from training.tokenizers.cosmos.winograd import can_use_winograd, winograd_conv
from training.tokenizers.frame_cache import FrameCache


@pytest.mark.parametrize("block_bytes", [1, 3000, 2**23])  # one row of tiles, some rows, all
def test_values_are_those_of_the_direct_convolution(
    block_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(winograd, "BLOCK_BYTES", block_bytes)
    torch.manual_seed(0)
    x, weight, bias = torch.randn(2, 10, 6, 5), torch.randn(7, 5, 3, 3), torch.randn(7)
    expected = torch.nn.functional.conv2d(
        x.double().permute(0, 3, 1, 2), weight.double(), bias.double(), 1, 1
    )
    computed = winograd_conv(x, weight, bias).double()
    assert torch.allclose(computed, expected.permute(0, 2, 3, 1), atol=1e-5)


def test_a_large_layer_uses_it_in_inference_only(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    layer, x = Conv(256, 256, space=3, padding=1), torch.randn(1, 2, 16, 32, 256)
    assert layer(x, FrameCache()).requires_grad
    with torch.inference_mode():
        fast = layer(x, FrameCache())
        monkeypatch.setattr("training.tokenizers.cosmos.layers.can_use_winograd", lambda *_: False)
        direct = layer(x, FrameCache())
    assert not torch.equal(fast, direct)
    assert torch.allclose(fast, direct, atol=1e-5)


@torch.no_grad()
def test_other_convolutions_do_not_use_it() -> None:
    images, weight = torch.empty(1, 32, 32, 256), torch.empty(256, 256, 3, 3)
    assert can_use_winograd(images, weight, 1, 1)
    for arguments in (
        (images, weight, 2, 1),
        (images, weight, 1, 0),
        (images[:, :31], weight, 1, 1),
        (images[:, :, :, :8], weight[:, :8], 1, 1),
        (images.double(), weight, 1, 1),
        (images, weight[..., :1, :1], 1, 1),
        (images.to("meta"), weight, 1, 1),
    ):
        assert not can_use_winograd(*arguments)
