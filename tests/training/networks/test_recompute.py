"""Operations that compute values again have the output and the gradients of plain operations."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.networks.recompute import linear_of_gelu, modulated_norm, rotated_norm
from training.networks.rotary import rotary_tables, rotate, token_positions

TABLES = rotary_tables(token_positions(2, 3, 2)[None], 18, (1.0, 2.0, 2.0))


def _random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed + sum(shape))).requires_grad_()


def _plain_modulated_norm(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    y = F.layer_norm(x, x.shape[-1:], eps=1e-6).reshape(len(x), scale.shape[1], -1, x.shape[2])
    out: Tensor = y * (1 + scale) + shift
    return out.flatten(1, 2)


def _plain_rotated_norm(x: Tensor, weight: Tensor, rotated: bool = True) -> Tensor:
    y = F.rms_norm(x, weight.shape, weight, 1e-6)
    return rotate(y, TABLES) if rotated else y


LINEAR = nn.Linear(24, 6, bias=False)
CASES: dict[str, tuple[Callable[..., Tensor], Callable[..., Tensor], list[Tensor]]] = {
    "modulated norm": (
        lambda x, shift, scale: modulated_norm(x, shift, scale, x.dtype),
        _plain_modulated_norm,
        [_random(2, 12, 6), _random(2, 1, 1, 6), _random(2, 1, 1, 6, seed=1)],
    ),
    "modulated norm per frame": (
        lambda x, shift, scale: modulated_norm(x, shift, scale, x.dtype),
        _plain_modulated_norm,
        [_random(2, 12, 6), _random(2, 3, 1, 6), _random(2, 3, 1, 6, seed=1)],
    ),
    "rotated norm": (
        lambda x, weight: rotated_norm(x, weight, TABLES),
        _plain_rotated_norm,
        [_random(2, 12, 3, 18), _random(18)],
    ),
    "norm without rotation": (
        lambda x, weight: rotated_norm(x, weight, None),
        lambda x, weight: _plain_rotated_norm(x, weight, rotated=False),
        [_random(2, 5, 3, 18), _random(18)],
    ),
    "linear of gelu": (
        lambda x, _: linear_of_gelu(x, LINEAR),
        lambda x, weight: F.linear(F.gelu(x), weight),
        [_random(2, 5, 24), LINEAR.weight],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_output_and_gradients_equal_those_of_plain_operations(name: str) -> None:
    function, plain, inputs = CASES[name]
    out, expected = function(*inputs), plain(*inputs)
    assert torch.allclose(out, expected, atol=1e-5)
    grad = torch.randn(out.shape, generator=torch.Generator().manual_seed(9))
    for ours, theirs in zip(
        torch.autograd.grad(out, inputs, grad), torch.autograd.grad(expected, inputs, grad), strict=True
    ):
        assert torch.allclose(ours, theirs, atol=1e-4)


def test_gelu_is_not_kept_for_the_backward_pass() -> None:
    kept: list[int] = []

    def pack(x: Tensor) -> Tensor:
        kept.append(x.numel())
        return x

    x = _random(2, 5, 24)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        linear_of_gelu(x, LINEAR)
    assert sorted(kept) == sorted([x.numel(), LINEAR.weight.numel()])


def test_another_layer_than_a_plain_linear_one_is_called() -> None:
    layer = nn.Sequential(LINEAR)
    x = _random(2, 5, 24)
    assert torch.allclose(linear_of_gelu(x, layer), linear_of_gelu(x, LINEAR), atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_types_of_a_float32_residual(dtype: torch.dtype) -> None:
    x, shift, scale = _random(1, 4, 6), _random(1, 1, 1, 6), _random(1, 1, 1, 6)
    out = modulated_norm(x, shift, scale, dtype)
    assert out.dtype == dtype
    out.float().sum().backward()  # type: ignore[no-untyped-call]
    assert x.grad is not None
    assert x.grad.dtype == torch.float32
