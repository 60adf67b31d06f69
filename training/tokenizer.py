"""The contract of a tokenizer: it encodes video into latents and decodes latents into video."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple, Protocol, runtime_checkable

from training.tensors import Indices, Latents, Video


class Stride(NamedTuple):
    """Frames and pixels per latent along each axis."""

    time: int
    height: int
    width: int


@runtime_checkable
class Tokenizer(Protocol):
    """Causal in time: the latents of a prefix do not depend on later frames, bit for bit.

    Equal videos give equal latents on one machine if the caller sets `torch.set_num_threads(1)`, or keeps
    one number of threads, because the order of sums is then fixed.

    Attributes:
        stride: Frames and pixels per latent. An image is a video of one frame.
        channels: Channels of the latents.
        digest: Identifies weights and architecture. Equal digests give equal latents.
        codebook_size: Number of codes of a discrete tokenizer, which is a `DiscreteTokenizer`. 0 if latents
            are continuous.
    """

    @property
    def stride(self) -> Stride: ...
    @property
    def channels(self) -> int: ...
    @property
    def digest(self) -> str: ...
    @property
    def codebook_size(self) -> int: ...

    def encode(self, video: Video) -> Latents:
        """Encode 1 + k * stride.time frames into 1 + k latent frames of about unit variance.

        Raises:
            ValueError: Frames, height or width do not fit the stride.
        """
        ...

    def decode(self, latents: Latents) -> Video:
        """Decode 1 + k latent frames into 1 + k * stride.time frames. Values can slightly exceed -1..1."""
        ...

    def encode_stream(self, videos: Iterable[Video]) -> Iterator[Latents]:
        """Encode the parts of one long video: 1 + k * stride.time frames, then k * stride.time frames each.

        The latents, concatenated, are those of `encode` of the whole video. Memory does not grow with its
        length.

        Raises:
            ValueError: Frames, height or width do not fit the stride.
        """
        ...

    def decode_stream(self, latents: Iterable[Latents]) -> Iterator[Video]:
        """Decode the parts of one long video, of any number of latent frames. Like `decode` of all."""
        ...


class DiscreteTokenizer(Tokenizer, Protocol):
    """A tokenizer whose latents are codes of a finite codebook, one per position."""

    def encode_indices(self, video: Video) -> Indices:
        """Encode a video into the indices of codes, int32 in 0..codebook_size - 1."""
        ...

    def latents_to_indices(self, latents: Latents) -> Indices:
        """The indices of latents that are codes, for example of a part that `encode_stream` gives."""
        ...

    def decode_indices(self, indices: Indices) -> Video:
        """Decode indices of any integer type.

        Raises:
            ValueError: An index is not in 0..codebook_size - 1.
        """
        ...


def check_size(video: Video, stride: Stride) -> None:
    """Check that a video is in color, and that its sides fit the stride.

    Raises:
        ValueError: It is not [b 3 t h w], or height or width is not a multiple of the stride.
    """
    _, c, _, h, w = video.shape
    if c != 3 or h % stride.height or w % stride.width or not h or not w:
        raise ValueError(f"video {tuple(video.shape)} is not [b 3 t h w] with h, w multiples of {stride[1:]}")


def count_latent_frames(frames: int, stride: int) -> int:
    """Number of latent frames of a video.

    Args:
        frames: Frames of the video.
        stride: Frames per latent.

    Raises:
        ValueError: `frames` is not 1 + k * stride.
    """
    if frames < 1 or (frames - 1) % stride:
        valid = 1 + max(0, frames - 1) // stride * stride
        raise ValueError(f"{frames} frames are not 1 + k * {stride}; keep the first {valid}")
    return 1 + (frames - 1) // stride
