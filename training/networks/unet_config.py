"""The configuration of a 3-D U-Net, and predefined sizes."""

import math
from dataclasses import dataclass

from training.networks.config import RAY_CHANNELS

Stride = tuple[int, int, int]


class ConvolutionalConfig:
    """What the configs of convolutional networks have in common: they take latents of every size."""

    text_embed_dim: int

    @property
    def size_multiples(self) -> Stride:
        """Latents along t, h, w are multiples of these: of every size."""
        return 1, 1, 1

    @property
    def base_fps(self) -> None:
        """The network does not know the frame rate."""
        return None

    @property
    def mask_text(self) -> bool:
        """Cross-attention ignores the padding of the text."""
        return True

    @property
    def text_input_dim(self) -> int:
        """Width of the text embeddings that the network is called with."""
        return self.text_embed_dim


@dataclass(frozen=True)
class UNet3DConfig(ConvolutionalConfig):
    """The shape of a network.

    Attributes:
        model_channels: Width C at full resolution, a multiple of `norm_num_groups`. Below the first
            downsampling the width is 2C.
        layers_per_block: Residual blocks per resolution, in the encoder and in the decoder.
        channels: Channels of the latents.
        attention_head_dim: Width of a head of attention; it divides 2C.
        text_embed_dim: Width of the text embeddings.
        action_dim: Width of an action; 0 for a network without actions.
        camera_injection: Where `Conditioning.camera` enters: "channels" makes its rays channels of the input;
            with `concat_last_given` also their difference to those of the last given frame. None reads no
            camera.
        strides: Stride of each of the two downsamplings along t, h, w.
        norm_num_groups: Groups of channels of the normalization.
        timestep_scale: Factor of c_noise of the preconditioning before its sinusoids. With epsilon, 1000
            makes it the step of DDPM.
        concat_condition_mask: `Conditioning.condition_mask` is a channel of the input (Video2World).
        concat_padding_mask: `Conditioning.padding_mask` is a channel of the input.
        concat_last_given: The last given latent frame is concatenated to the latents of each frame.
        given_filters: Number of linear 3 x 3 filters of the last given frame. The network predicts a weight
            of each filter at each place, and their weighted sum is added to its output: what moves a little
            is then the product of a motion and a derivative. 0: none.
        given_planes: Number of planes of a multiplane image of the last given frame (`multiplane.head`). Its
            rendering at the camera of each frame is an input, and the network predicts how much of it is
            added to the output. 0: none.
        nearest_plane: Depth of the nearest of these planes, in the unit of the camera's translations.
        patch: Side in px of the patches that latents are, for planes in pixels; 1 for other latents.
        views: Names of the cameras of a network that denoises their views together; () is one camera.
        view_neighbors: Pairs of cameras whose fields of view overlap. What the planes of a view do not show
            is filled with what those of its neighbors show; there is no other path between views.

    Raises:
        ValueError: A value is not allowed.
    """

    model_channels: int = 32
    layers_per_block: int = 2
    channels: int = 16
    attention_head_dim: int = 32
    text_embed_dim: int = 128
    action_dim: int = 0
    camera_injection: str | None = None
    strides: tuple[Stride, Stride] = ((1, 2, 2), (2, 2, 2))
    norm_num_groups: int = 8
    timestep_scale: float = 1000.0
    concat_condition_mask: bool = False
    concat_padding_mask: bool = False
    concat_last_given: bool = False
    given_filters: int = 0
    given_planes: int = 0
    nearest_plane: float = 1.0
    patch: int = 1
    views: tuple[str, ...] = ()
    view_neighbors: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        first, second = self.strides  # JSON has lists
        object.__setattr__(self, "strides", (tuple(first), tuple(second)))
        object.__setattr__(self, "views", tuple(self.views))
        object.__setattr__(self, "view_neighbors", tuple((a, b) for a, b in self.view_neighbors))
        if self.camera_injection not in (None, "channels"):
            raise ValueError(f"camera_injection is {self.camera_injection!r}; None or 'channels'")
        if self.views and not self.given_planes:
            raise ValueError("a U-Net of several views needs given_planes, which join them")
        if self.given_planes and not (self.camera_injection and self.concat_last_given):
            raise ValueError("given_planes needs camera_injection='channels' and concat_last_given")
        if self.given_planes == 1 or self.given_planes < 0:
            raise ValueError(f"given_planes is {self.given_planes}; allowed: 0 and at least 2")
        if self.patch < 1 or self.channels % self.patch**2:
            raise ValueError(f"patch is {self.patch}; {self.channels} channels are not those of such patches")
        for name, whole, part in (
            ("norm_num_groups", self.model_channels, self.norm_num_groups),
            ("attention_head_dim", 2 * self.model_channels, self.attention_head_dim),
        ):
            if part < 1 or whole < 1 or whole % part:
                raise ValueError(f"{name} is {part}, which does not divide {whole} channels")

    @property
    def widths(self) -> tuple[int, int, int]:
        """Channels at each of the three resolutions."""
        return self.model_channels, 2 * self.model_channels, 2 * self.model_channels

    @property
    def total_stride(self) -> Stride:
        """Latents per place of the lowest resolution along t, h, w."""
        t, h, w = (math.prod(strides) for strides in zip(*self.strides, strict=True))
        return t, h, w

    @property
    def camera_dim(self) -> int:
        """Channels of the rays, and of their difference to those of the last given frame; 0 of no camera."""
        return RAY_CHANNELS * (1 + self.concat_last_given) if self.camera_injection else 0

    @property
    def in_channels(self) -> int:
        """Channels of the latents, the last given frame and the masks; rays have weights of their own."""
        masks = self.concat_condition_mask + self.concat_padding_mask
        return self.channels * (1 + self.concat_last_given) + masks


UNET_CONFIGS = {
    "unet3d-nano": UNet3DConfig(layers_per_block=1),
    "unet3d-tiny": UNet3DConfig(),
    "unet3d-small": UNet3DConfig(model_channels=128, attention_head_dim=64, text_embed_dim=384),
}
