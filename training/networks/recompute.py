"""Operations of a block that keep less for the backward pass, because they compute cheap values again.

Each one returns what the operations in its docstring return. While a network is compiled, the plain
operations run, because the compiler itself chooses what to compute again. Source: Chen et al. 2016,
arXiv:1604.06174, applied to elementwise operations only.
"""

from typing import Any

import torch
from torch import Tensor, nn

from training.networks.rotary import RotaryTables, rotate

EPS = 1e-6
_Grads = tuple[Tensor | None, ...]


def modulated_norm(x: Tensor, shift: Tensor, scale: Tensor, dtype: torch.dtype) -> Tensor:
    """layer_norm(x) * (1 + scale) + shift, in `dtype`.

    Args:
        x: Tokens [b n d].
        shift: [b f 1 d] for f groups of n/f tokens that follow each other.
        scale: The same shape.
        dtype: Type of the result.
    """
    if torch.compiler.is_compiling():
        y = nn.functional.layer_norm(x, x.shape[-1:], eps=EPS).view(_groups(x, scale))
        return (y * (1 + scale) + shift).to(dtype).flatten(1, 2)
    out: Tensor = _ModulatedNorm.apply(x, shift, scale, dtype)  # type: ignore[no-untyped-call]
    return out


def rotated_norm(x: Tensor, weight: Tensor, tables: RotaryTables | None) -> Tensor:
    """rms_norm(x) * weight over the last axis of [b n heads d], then rotated; in the dtype of x."""
    if torch.compiler.is_compiling():
        y = nn.functional.rms_norm(x.float(), x.shape[-1:], eps=EPS) * weight
        return (y if tables is None else rotate(y, tables)).to(x.dtype)
    cos, sin = (None, None) if tables is None else tables
    out: Tensor = _RotatedNorm.apply(x, weight, cos, sin)  # type: ignore[no-untyped-call]
    return out


def linear_of_gelu(x: Tensor, linear: nn.Module) -> Tensor:
    """linear(gelu(x)). Only a plain linear layer without bias saves memory; another layer is called."""
    if type(linear) is nn.Linear and linear.bias is None and not torch.compiler.is_compiling():
        return _LinearOfGelu.apply(x, linear.weight)
    out: Tensor = linear(nn.functional.gelu(x))
    return out


class _ModulatedNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, shift: Tensor, scale: Tensor, dtype: torch.dtype) -> Tensor:
        y, mean, rstd = torch.native_layer_norm(x, x.shape[-1:], None, None, EPS)
        ctx.save_for_backward(x, mean, rstd, scale)
        y = y.view(_groups(x, scale))
        return y.addcmul_(y, scale).add_(shift).to(dtype).flatten(1, 2)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> _Grads:
        x, mean, rstd, scale = ctx.saved_tensors
        groups = _groups(x, scale)
        grad = grad.float().reshape(groups)
        grad_shift = grad.sum(2, keepdim=True)
        normed = (x.float() - mean).mul_(rstd).reshape(groups)
        grad_scale = normed.mul_(grad).sum(2, keepdim=True)
        grad_normed = torch.addcmul(grad, grad, scale.float()).to(x.dtype).flatten(1, 2)
        grad_x, _, _ = torch.ops.aten.native_layer_norm_backward(
            grad_normed, x, x.shape[-1:], mean, rstd, None, None, [True, False, False]
        )
        return grad_x, grad_shift.to(scale.dtype), grad_scale.to(scale.dtype), None


def _groups(x: Tensor, scale: Tensor) -> tuple[int, int, int, int]:
    """The shape [b f n/f d] of x [b n d] for scale [b f 1 d]."""
    return len(x), scale.shape[1], x.shape[1] // scale.shape[1], x.shape[2]


class _RotatedNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, cos: Tensor | None, sin: Tensor | None) -> Tensor:
        values = x.float()
        rstd = torch.linalg.vector_norm(values, dim=-1, keepdim=True)
        rstd = rstd.square_().div_(x.shape[-1]).add_(EPS).rsqrt_()
        ctx.save_for_backward(x, weight, rstd, cos, sin)
        out: Tensor = (values * rstd).mul_(weight)
        if cos is not None and sin is not None:
            out = rotate(out, (cos, sin))
        return out.to(x.dtype)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> _Grads:
        x, weight, rstd, cos, sin = ctx.saved_tensors
        grad = grad.float()
        if cos is not None:
            grad = rotate(grad, (cos, sin), inverse=True)
        normed = x.float() * rstd
        product = grad * normed
        grad_weight = product.flatten(0, -2).sum(0)
        mean = (product @ weight.float())[..., None] / x.shape[-1]
        grad_x = (grad * weight).addcmul_(normed, mean, value=-1).mul_(rstd)
        return grad_x.to(x.dtype), grad_weight.to(weight.dtype), None, None


class _LinearOfGelu(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return nn.functional.linear(nn.functional.gelu(x), weight)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> _Grads:
        x, weight = ctx.saved_tensors
        grad_weight = None
        if ctx.needs_input_grad[1]:
            grad_weight = grad.flatten(0, -2).T @ nn.functional.gelu(x).flatten(0, -2)
        grad_x = torch.ops.aten.gelu_backward(grad @ weight, x)
        return grad_x, grad_weight
