"""The configuration of a video transformer, and predefined sizes."""

import math
from dataclasses import dataclass, replace

PATCH_SIZE = (1, 2, 2)  # latents per token along t, h, w
# of a network that reads codes
CODE_FIELDS = ("code_channels", "codebook_size", "code_levels", "code_residual_std")
CONDITION_FIELDS = ("action_dim", "camera_injection", "trajectory_dim")  # of one that reads conditions
VIEW_FIELDS = ("views", "view_neighbors")  # of a network of several cameras
RAY_CHANNELS = 6  # of `Conditioning.camera`
CAMERA_INJECTIONS = ("channels", "block")


_CONDITION_LAYERS = {
    *("action_embed", "camera_embed", "camera_proj", "plane_head", "trajectory_embed"),
    *("view_embed", "norm_cross_view", "cross_view_attn"),
}


def is_condition_layer(name: str) -> bool:
    """Whether a parameter of this name reads actions, a camera, a trajectory or the number or neighbors of a
    view; a network without them does not have it."""
    return not _CONDITION_LAYERS.isdisjoint(name.split("."))


@dataclass(frozen=True)
class VideoDiTConfig:
    """The shape of a network. Names are those of diffusers' CosmosTransformer3DModel where it has them.

    Attributes:
        num_attention_heads: Heads of attention.
        attention_head_dim: Width of a head. Width of a token: num_attention_heads * attention_head_dim.
        num_layers: Transformer blocks.
        channels: Channels of the latents.
        text_embed_dim: Width of the text embeddings in cross-attention.
        adaln_lora_dim: Inner width of the low-rank map of each adaptive norm.
        rope_scale: Scale of the rotary wavelengths along t, h, w. Larger latents need more.
        timestep_scale: Factor of the timestep before its sinusoids; 1 is that of the Cosmos models.
        concat_condition_mask: `Conditioning.condition_mask` is a channel of the input (Video2World).
        concat_padding_mask: `Conditioning.padding_mask` is a channel of the input.
        concat_last_given: The last given latent frame is concatenated to the latents of each frame.
        extra_pos_embed_type: "learnable" adds learned positions before each block, as in Cosmos-Predict1.
        max_size: Largest latents along t, h, w for which there are learned positions.
        crossattn_proj_in_channels: Width of the text embeddings of the encoder; a linear layer and GELU then
            map them to `text_embed_dim`. None: they have `text_embed_dim` and there is no such layer.
        base_fps: Frame rate at which one latent frame is one rotary position. A clip of `Conditioning.fps`
            has positions that are base_fps / fps apart. None: positions do not depend on the frame rate.
        mask_text: Cross-attention ignores text tokens where `Conditioning.text_mask` is 0. The Cosmos models
            attend to the padding.
        fp32_residual: The residual stream, the timestep embedding and the modulation stay float32 when the
            other layers compute in bfloat16, as in Cosmos-Predict2.5.
        code_channels: Channels of the embedding of `Conditioning.codes`, which are concatenated to the
            latents (diffusion decoder). 0 reads no codes.
        codebook_size: Number of codes.
        code_levels: Levels of the FSQ of the codes. The initial embedding of a code is then a linear map of
            its point on the lattice, so that similar codes begin with similar embeddings. (): random numbers.
        code_residual_std: Standard deviation of each channel of the difference of the latents to
            `Conditioning.code_latents`, which are further channels of the input. The network denoises this
            difference, divided by it. () denoises the latents.
        action_dim: Width of `Conditioning.action`, whose embedding is added to that of the timestep of each
            latent frame. 0 reads no actions.
        camera_injection: Where `Conditioning.camera` enters: "channels" adds a linear map of the rays of each
            patch to its token, which is the same as rays that are channels of the input; "block" adds one to
            the input of the self-attention of each block. None reads no camera.
        trajectory_dim: Width of `Conditioning.trajectory`, whose embedding is added to that of the timestep.
            0 reads no trajectory.
        views: Names of the cameras whose views the network denoises together; a clip may have any of them, in
            any order. `Conditioning.view_indices` are numbers in this list. (): clips of one camera.
        view_neighbors: Pairs of cameras whose fields of view overlap. Each block has attention between their
            views. (): views are denoised one by one, and there is no such layer.

    Raises:
        ValueError: A value is not allowed.
    """

    num_attention_heads: int = 4
    attention_head_dim: int = 32
    num_layers: int = 3
    channels: int = 16
    text_embed_dim: int = 128
    adaln_lora_dim: int = 32
    rope_scale: tuple[float, float, float] = (1.0, 1.0, 1.0)
    timestep_scale: float = 1000.0
    concat_condition_mask: bool = False
    concat_padding_mask: bool = False
    concat_last_given: bool = False
    extra_pos_embed_type: str | None = None
    max_size: tuple[int, int, int] = (128, 240, 240)
    crossattn_proj_in_channels: int | None = None
    base_fps: float | None = None
    mask_text: bool = False
    fp32_residual: bool = False
    code_channels: int = 0
    codebook_size: int = 0
    code_levels: tuple[int, ...] = ()
    code_residual_std: tuple[float, ...] = ()
    action_dim: int = 0
    camera_injection: str | None = None
    trajectory_dim: int = 0
    views: tuple[str, ...] = ()
    view_neighbors: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        for name in ("rope_scale", "max_size", "code_levels", "code_residual_std", "views"):  # JSON has lists
            object.__setattr__(self, name, tuple(getattr(self, name)))
        object.__setattr__(self, "view_neighbors", tuple((a, b) for a, b in self.view_neighbors))
        if wrong := [p for p in self.view_neighbors if p[0] == p[1] or not set(p) <= set(self.views)]:
            raise ValueError(f"view_neighbors has {wrong[0]}, which are not two of the views {self.views}")
        if len(set(self.views)) < len(self.views):
            raise ValueError(f"views has a camera twice: {self.views}")
        if self.extra_pos_embed_type not in (None, "learnable"):
            raise ValueError(f"extra_pos_embed_type is {self.extra_pos_embed_type!r}; None or 'learnable'")
        if self.camera_injection not in (None, *CAMERA_INJECTIONS):
            raise ValueError(f"camera_injection is {self.camera_injection!r}; None, 'channels' or 'block'")
        if self.attention_head_dim < 18 or self.attention_head_dim % 2:
            raise ValueError(f"attention_head_dim is {self.attention_head_dim}; an even number from 18")
        if bool(self.code_channels) != bool(self.codebook_size):
            raise ValueError(
                f"code_channels is {self.code_channels} and codebook_size {self.codebook_size}; both or none"
            )
        if self.code_residual_std and not (
            self.code_channels and len(self.code_residual_std) == self.channels
        ):
            raise ValueError(f"code_residual_std needs code_channels and {self.channels} values")
        if self.code_levels and math.prod(self.code_levels) != self.codebook_size:
            raise ValueError(f"code_levels {self.code_levels} do not have {self.codebook_size} codes")

    @property
    def width(self) -> int:
        """Width of a token."""
        return self.num_attention_heads * self.attention_head_dim

    @property
    def size_multiples(self) -> tuple[int, int, int]:
        """Latents along t, h, w are multiples of these."""
        return PATCH_SIZE

    @property
    def text_input_dim(self) -> int:
        """Width of the text embeddings that the network is called with."""
        return self.crossattn_proj_in_channels or self.text_embed_dim

    @property
    def in_channels(self) -> int:
        """Channels of the latents and of the masks and embeddings that are concatenated to them."""
        masks = self.concat_condition_mask + self.concat_padding_mask
        given = self.channels * self.concat_last_given
        return self.channels + masks + given + self.code_channels + len(self.code_residual_std)


_COSMOS = VideoDiTConfig(
    attention_head_dim=128,
    text_embed_dim=1024,
    adaln_lora_dim=256,
    timestep_scale=1.0,
    concat_padding_mask=True,
)
_2B = replace(_COSMOS, num_attention_heads=16, num_layers=28, rope_scale=(1.0, 3.0, 3.0))
_7B = replace(_COSMOS, num_attention_heads=32, num_layers=28, rope_scale=(2.0, 1.0, 1.0))
_14B = replace(_COSMOS, num_attention_heads=40, num_layers=36, rope_scale=(1.0, 3.0, 3.0))


def _predict1(size: VideoDiTConfig, is_video2world: bool = False) -> VideoDiTConfig:
    return replace(
        size, extra_pos_embed_type="learnable", base_fps=24.0, concat_condition_mask=is_video2world
    )


def _predict25(size: VideoDiTConfig) -> VideoDiTConfig:
    return replace(size, concat_condition_mask=True, crossattn_proj_in_channels=28 * 3584, fp32_residual=True)


_14B_PREDICT1 = replace(_14B, rope_scale=(2.0, 2.0, 2.0))

# The Cosmos models have the layers and the settings that NVIDIA published with their weights.
MODEL_CONFIGS = {
    "tiny": VideoDiTConfig(timestep_scale=100.0, mask_text=True),
    "small": VideoDiTConfig(
        num_attention_heads=8,
        attention_head_dim=48,
        num_layers=12,
        text_embed_dim=384,
        adaln_lora_dim=96,
        timestep_scale=100.0,
        mask_text=True,
    ),
    "cosmos-predict1-7b": _predict1(_7B),
    "cosmos-predict1-7b-video2world": _predict1(_7B, is_video2world=True),
    "cosmos-predict1-14b": _predict1(_14B_PREDICT1),
    "cosmos-predict1-14b-video2world": _predict1(_14B_PREDICT1, is_video2world=True),
    "cosmos-predict2-2b": replace(_2B, rope_scale=(1.0, 4.0, 4.0)),
    "cosmos-predict2-2b-video2world": replace(_2B, concat_condition_mask=True),
    "cosmos-predict2-14b": replace(_14B, rope_scale=(1.0, 4.0, 4.0)),
    "cosmos-predict2-14b-video2world": replace(
        _14B, rope_scale=(20 / 24, 2.0, 2.0), concat_condition_mask=True
    ),
    "cosmos-predict2.5-2b": _predict25(_2B),
    "cosmos-predict2.5-14b": _predict25(_14B),
}
