"""The configuration of a recurrent convolutional network, and predefined sizes."""

from dataclasses import dataclass

from training.networks.unet_config import ConvolutionalConfig


@dataclass(frozen=True)
class ConvRNNConfig(ConvolutionalConfig):
    """The shape of a network.

    Attributes:
        width: Channels of the features. Higher values learn more and cost more.
        num_layers: Convolutions between the first and the last one. Each lets a latent read one more
            neighbor in each direction, and so do the first and the last.
        channels: Channels of the latents.
        text_embed_dim: Width of the text embeddings.
        action_dim: Width of an action; 0 for a network without actions.
        camera_injection: Where `Conditioning.camera` enters: "channels" makes the rays of a frame and of the
            frame before channels of the input. None reads no camera.
        timestep_scale: Factor of c_noise of the preconditioning before its sinusoids. Higher values tell
            close noise levels better apart, and make training on few of them harder.
        concat_padding_mask: `Conditioning.padding_mask` is a channel of the input.
        concat_last_given: The output is the difference to the last given latent frame.

    Raises:
        ValueError: A value is not allowed.
    """

    width: int = 64
    num_layers: int = 4
    channels: int = 16
    text_embed_dim: int = 128
    action_dim: int = 0
    camera_injection: str | None = None
    timestep_scale: float = 10.0
    concat_padding_mask: bool = False
    concat_last_given: bool = False

    def __post_init__(self) -> None:
        if self.camera_injection not in (None, "channels"):
            raise ValueError(f"camera_injection is {self.camera_injection!r}; None or 'channels'")
        for name in ("width", "num_layers"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; allowed: at least 1")

    @property
    def views(self) -> tuple[str, ...]:
        """The network takes one camera, without a name."""
        return ()


CONVRNN_CONFIGS = {"convrnn-nano": ConvRNNConfig(), "convrnn-tiny": ConvRNNConfig(width=128, num_layers=8)}
