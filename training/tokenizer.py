"""The promise of a tokenizer: video to latents and back."""

from typing import NamedTuple, Protocol, runtime_checkable

from training.tensors import Latents, Video


class Stride(NamedTuple):
    """How many pixels one latent covers along each axis."""

    time: int
    height: int
    width: int


@runtime_checkable
class Tokenizer(Protocol):
    """Causal in time: the latents of a prefix do not depend on what follows, to the bit.

    Equal videos give equal latents on one machine if the caller sets `torch.set_num_threads(1)` (or keeps one
    number of threads): sums are then taken in one order.

    Attributes:
        stride: pixels per latent; an image is a video of one frame.
        channels: of the latents.
        digest: names the weights and the architecture: equal digests, equal latents.
    """

    @property
    def stride(self) -> Stride: ...
    @property
    def channels(self) -> int: ...
    @property
    def digest(self) -> str: ...

    def encode(self, video: Video) -> Latents:
        """1 + k * stride.time frames to 1 + k latent frames, shifted and scaled to about unit variance.

        Raises:
            ValueError: frames, height or width do not fit the stride.
        """
        ...

    def decode(self, latents: Latents) -> Video:
        """1 + k latent frames to 1 + k * stride.time frames; values may lie a little outside -1..1."""
        ...


def latent_frames(frames: int, stride: int) -> int:
    """How many latent frames `frames` frames become.

    Raises:
        ValueError: `frames` is not of the form 1 + k * stride.
    """
    if frames < 1 or (frames - 1) % stride:
        fits = 1 + max(0, frames - 1) // stride * stride
        raise ValueError(f"{frames} frames are not 1 + k * {stride}; keep the first {fits}")
    return 1 + (frames - 1) // stride
