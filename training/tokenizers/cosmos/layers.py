"""Layers of the Cosmos tokenizers, on features [b t h w c].

Each layer is causal in time. A `FrameCache` makes a sequence of calls equal to one call with all frames.
The names and shapes of the parameters are those of diffusers' AutoencoderKLCosmos.
"""

import torch
from torch import Tensor, nn

from training.tokenizers.cosmos.winograd import can_use_winograd, winograd_conv
from training.tokenizers.frame_cache import FrameCache

EPS = 1e-6


class Conv(nn.Module):
    """A 3-D convolution whose kernel is in space only, or in time only.

    Frames before the first are copies of it. With a stride in time of s, output k is of frame k * s.

    Args:
        channels_in: Channels of the input.
        channels_out: Channels of the output.
        time: Frames of the kernel, 1 or 3.
        space: Pixels of the kernel along height and width, 1 or 3.
        stride: Stride of the axes that the kernel has.
        padding: Zeros at each border of height and width.
    """

    def __init__(
        self, channels_in: int, channels_out: int, *, time: int = 1, space: int = 1, stride: int = 1,
        padding: int = 0,
    ) -> None:  # fmt: skip
        super().__init__()
        self.stride, self.padding = stride, padding
        self.weight = nn.Parameter(torch.empty(channels_out, channels_in, time, space, space))
        self.bias = nn.Parameter(torch.empty(channels_out))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weights as PyTorch's convolutions do."""
        nn.init.kaiming_uniform_(self.weight, a=5**0.5)
        bound = self.weight[0].numel() ** -0.5
        nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, x: Tensor, cache: FrameCache) -> Tensor:
        time, space = self.weight.shape[2:4]
        if space > 1:
            return self._over_space(x)
        if time > 1:
            x = cache.with_past(x, time - 1)
            return self._over_time(x if cache.is_first() else x[:, self.stride - 1 :])
        return nn.functional.linear(x, self.weight.flatten(1), self.bias)

    def _over_space(self, x: Tensor) -> Tensor:
        images, weight = x.flatten(0, 1), self.weight.squeeze(2)
        if can_use_winograd(images, weight, self.stride, self.padding):
            return winograd_conv(images, weight, self.bias).view(*x.shape[:4], -1)
        frames = images.permute(0, 3, 1, 2)  # [b*t c h w], channels last in memory
        y = nn.functional.conv2d(frames, weight, self.bias, self.stride, self.padding)
        return _split_frames(y, x)

    def _over_time(self, x: Tensor) -> Tensor:
        """x [b t + frames before h w c], as images of t x h*w positions, channels last in memory."""
        images = x.flatten(2, 3).permute(0, 3, 1, 2)
        y = nn.functional.conv2d(images, self.weight.squeeze(4), self.bias, (self.stride, 1))
        return y.permute(0, 2, 3, 1).reshape(len(x), y.shape[2], *x.shape[2:4], -1)


class FrameNorm(nn.Module):
    """Group norm of one group of each frame."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(1, channels, EPS)

    def forward(self, x: Tensor) -> Tensor:
        frames = x.flatten(0, 1).permute(0, 3, 1, 2)
        return _split_frames(self.norm(frames), x)


class ConvProjection(nn.Module):
    """A convolution over space, then one over time."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.conv_s = Conv(channels_in, channels_out, space=3, padding=1)
        self.conv_t = Conv(channels_out, channels_out, time=3)

    def forward(self, x: Tensor, cache: FrameCache) -> Tensor:
        out: Tensor = self.conv_t(self.conv_s(x, cache), cache)
        return out


class ResnetBlock(nn.Module):
    """Norm, SiLU and convolutions, twice, added to the input."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.norm1 = FrameNorm(channels_in)
        self.conv1 = ConvProjection(channels_in, channels_out)
        self.norm2 = FrameNorm(channels_out)
        self.conv2 = ConvProjection(channels_out, channels_out)
        self.conv_shortcut = None if channels_in == channels_out else Conv(channels_in, channels_out)

    def forward(self, x: Tensor, cache: FrameCache) -> Tensor:
        y = self.conv1(nn.functional.silu(self.norm1(x)), cache)
        y = self.conv2(nn.functional.silu(self.norm2(y)), cache)
        shortcut = x if self.conv_shortcut is None else self.conv_shortcut(x, cache)
        out: Tensor = shortcut + y
        return out


class Attention(nn.Module):
    """Attention with one head, added to the input.

    Args:
        channels: Channels of the input.
        is_temporal: Each position attends to itself in the same and in earlier frames; otherwise to all
            positions of its frame.
        window: Frames that temporal attention sees. None: all.
    """

    def __init__(self, channels: int, is_temporal: bool, window: int | None = None) -> None:
        super().__init__()
        self.is_temporal, self.window = is_temporal, window
        self.norm = FrameNorm(channels)
        self.to_q, self.to_k, self.to_v = (Conv(channels, channels) for _ in range(3))
        self.to_out = nn.ModuleList([Conv(channels, channels)])

    def forward(self, x: Tensor, cache: FrameCache) -> Tensor:
        y = self.norm(x)
        q, k, v = (layer(y, cache) for layer in (self.to_q, self.to_k, self.to_v))
        y = self._over_time(q, k, v, cache) if self.is_temporal else self._over_space(q, k, v)
        out: Tensor = x + self.to_out[0](y, cache)
        return out

    def _over_space(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        q1, k1, v1 = (part.flatten(2, 3).flatten(0, 1)[:, None] for part in (q, k, v))  # [b*t 1 h*w c]
        return nn.functional.scaled_dot_product_attention(q1, k1, v1).reshape(q.shape)

    def _over_time(self, q: Tensor, k: Tensor, v: Tensor, cache: FrameCache) -> Tensor:
        frames = q.shape[1]
        k, v = cache.append(k, self.window), cache.append(v, self.window)
        positions = torch.arange(k.shape[1], device=q.device)
        distance = positions[-frames:, None] - positions  # how much earlier a key is
        mask = distance >= 0
        if self.window is not None:
            mask &= distance < self.window
        q1, k1, v1 = (
            part.permute(0, 2, 3, 1, 4).flatten(0, 2)[:, None] for part in (q, k, v)
        )  # [b*h*w 1 t c]
        y = nn.functional.scaled_dot_product_attention(q1, k1, v1, attn_mask=mask)
        return y.view(len(q), *q.shape[2:4], frames, -1).permute(0, 3, 1, 2, 4).contiguous()


class Downsample(nn.Module):
    """Halve the frames, or height and width, or both: convolution plus mean, then a linear layer."""

    def __init__(self, channels: int, time: bool, space: bool) -> None:
        super().__init__()
        self.conv1 = Conv(channels, channels, space=3, stride=2) if space else None
        self.conv2 = Conv(channels, channels, time=3, stride=2) if time else None
        self.conv3 = Conv(channels, channels)

    def forward(self, x: Tensor, cache: FrameCache) -> Tensor:
        if self.conv1 is not None:
            padded = nn.functional.pad(x, (0, 0, 0, 1, 0, 1))
            frames = x.flatten(0, 1).permute(0, 3, 1, 2)
            mean = _split_frames(nn.functional.avg_pool2d(frames, 2), x)
            x = self.conv1(padded, cache) + mean
        if self.conv2 is not None:
            pairs = torch.cat([x[:, :1], x], 1) if cache.is_first() else x
            x = self.conv2(x, cache) + (pairs[:, ::2] + pairs[:, 1::2]) / 2
        out: Tensor = self.conv3(x, cache)
        return out


class Upsample(nn.Module):
    """Double the frames, or height and width, or both: repeat, add a convolution, then a linear layer."""

    def __init__(self, channels: int, time: bool, space: bool) -> None:
        super().__init__()
        self.conv1 = Conv(channels, channels, time=3) if time else None
        self.conv2 = Conv(channels, channels, space=3, padding=1) if space else None
        self.conv3 = Conv(channels, channels)

    def forward(self, x: Tensor, cache: FrameCache) -> Tensor:
        if self.conv1 is not None:
            x = x.repeat_interleave(2, 1)
            x = x[:, 1:] if cache.is_first() else x
            x = x + self.conv1(x, cache)
        if self.conv2 is not None:
            x = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
            x = x + self.conv2(x, cache)
        out: Tensor = self.conv3(x, cache)
        return out


def _split_frames(frames: Tensor, like: Tensor) -> Tensor:
    """[b*t c h w] to [b t h w c], with b and t as in `like`."""
    y = frames.permute(0, 2, 3, 1)
    return y.reshape(*like.shape[:2], *y.shape[1:])
