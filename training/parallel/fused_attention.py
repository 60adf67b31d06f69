"""Fused attention kernels of PyTorch that return the log-sum-exp, so results over parts of the keys merge."""

from typing import Any, Protocol

import torch
from torch import Tensor

aten = torch.ops.aten


class AttentionKernel(Protocol):
    """Attention q, k, v [b heads n d], and its gradient from the output over *all* keys."""

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """The output, and the log-sum-exp of each query [b heads n] in float32."""
        ...

    def backward(
        self, grad: Tensor, q: Tensor, k: Tensor, v: Tensor, out: Tensor, lse: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The gradients of q, k and v. `out` and `lse` are those over all keys, `k` and `v` may be a part."""
        ...


def choose_kernel(q: Tensor) -> AttentionKernel:
    """The kernel for a device and a dtype."""
    if q.device.type == "cpu":
        return _CPU()
    return _Flash() if q.dtype in (torch.bfloat16, torch.float16) else _Efficient()


class _CPU:
    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        out, lse = aten._scaled_dot_product_flash_attention_for_cpu(q, k, v)
        return out, lse

    def backward(
        self, grad: Tensor, q: Tensor, k: Tensor, v: Tensor, out: Tensor, lse: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        grads: Any = aten._scaled_dot_product_flash_attention_for_cpu_backward(
            grad, q, k, v, out, lse, 0.0, False
        )
        return grads[0], grads[1], grads[2]


class _Flash:
    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        results: Any = aten._scaled_dot_product_flash_attention(q, k, v)
        return results[0], results[1]

    def backward(
        self, grad: Tensor, q: Tensor, k: Tensor, v: Tensor, out: Tensor, lse: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        unused = torch.empty(0, dtype=torch.uint64, device=q.device)  # state of the dropout, which is 0
        grads: Any = aten._scaled_dot_product_flash_attention_backward(
            grad, q, k, v, out, lse, None, None, q.shape[2], k.shape[2], 0.0, False, unused, unused
        )
        return grads[0], grads[1], grads[2]


class _Efficient:
    """Its log-sum-exp is padded along the queries."""

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        results: Any = aten._scaled_dot_product_efficient_attention(q, k, v, None, True)
        return results[0], results[1]

    def backward(
        self, grad: Tensor, q: Tensor, k: Tensor, v: Tensor, out: Tensor, lse: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        unused = torch.zeros((), dtype=torch.int64, device=q.device)
        grads: Any = aten._scaled_dot_product_efficient_attention_backward(
            grad, q, k, v, None, out, lse, unused, unused, 0.0, [True, True, True, False]
        )
        return grads[0], grads[1], grads[2]
