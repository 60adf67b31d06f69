"""The settings of the training of a tokenizer."""

import math
from dataclasses import dataclass
from typing import Annotated

from manifests import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, Range, Share
from training.errors import SettingError
from training.metrics.image_quality import WINDOW
from training.settings.check import check_settings
from training.settings.reconstruction import ReconstructionSettings
from training.tokenizers.cosmos.config import CONFIGS

CHOICES = {
    "model": ("patch", *CONFIGS),
    "ema": ("power", "fixed", "none"),
    "lr_schedule": ("constant", "cosine", "linear"),
    "precision": ("auto", "fp32", "bf16"),
}
# They change no result beyond rounding. The history of a checkpoint does not record them.
EXECUTION_SETTINGS = {
    "data",
    "validation_data",
    "validation_interval",
    "grad_accum_steps",
    "dp_replicate",
    "checkpoint_interval",
    "async_checkpoint",
    "max_skipped_steps",
    "init_timeout_seconds",
    "num_workers",
    "num_threads",
    "tensorboard",
    "quiet",
}


# They determine the network of a training without `init_from`.
NETWORK_SETTINGS = ("model", "width", "encoder_blocks", "decoder_blocks", "stride", "levels")
MAX_CODES = 2**24


@dataclass(frozen=True, kw_only=True)
class TokenizerConfig(ReconstructionSettings):
    """One training of a tokenizer. The names are those of the training of a world model where both have one.

    Attributes:
        data: Folder of videos and images, or of .npy arrays of frames, uint8 [t h w 3].
        validation_data: The same, held out; "" evaluates on none.
        model: patch, the small family of the bundled tokenizers, or a published size of the Cosmos family.
        width: Channels inside the networks of patch. Higher values reconstruct better and slower.
        encoder_blocks: Residual blocks of the encoder of patch. Higher values reconstruct better and slower.
        decoder_blocks: Residual blocks of the decoder of patch. Higher values reconstruct better and slower.
        stride: Frames and pixels per latent of patch along time, height and width. Higher values make fewer
            latents and keep less; a time of 1 has a latent frame for each frame, as planners need.
        levels: Levels of the finite scalar quantization (FSQ) of a discrete patch tokenizer, one per channel,
            for example 8,8,8,5,5,5. Higher values give more codes. Empty: latents are continuous.
        init_from: Tokenizer that the training starts from: a file, a folder or the name of a bundled one. It
            determines the network instead of `model`. "" starts from the principal components of patches
            (patch), or from random weights.
        steps: Optimizer steps in total. Higher values train longer.
        lr: Peak learning rate. Higher values learn faster and can diverge.
        warmup_steps: Steps of the linear warmup to the peak learning rate.
        lr_schedule: Learning rate after the warmup: constant, cosine or linear.
        weight_decay: Weight decay of AdamW. Higher values keep weights smaller.
        max_skipped_steps: Consecutive steps whose loss or gradient is not finite that are skipped before the
            training fails. Higher values tolerate more.
        batch_size: Crops per step, over all ranks. Higher values need more memory and time per step.
        size_px: Height and width of a crop in px. Higher values need more memory and time per step.
        frames: Frames of a crop: 1 + a multiple of the temporal stride. Higher values need more memory.
        image_share: Share of the steps that train on images, which are crops of one frame. Higher values
            train less on videos.
        statistics_batches: Batches of crops from which the mean and standard deviation of the latents are
            measured. Higher values measure them more exactly.
        seed: Seed of weights, crops and noise.
        ema: Running average of the weights that is saved: power, fixed or none.
        ema_sigma_rel: Width of the profile of ema=power, as a share of the steps, between 0 and 0.28. Higher
            values average over more steps.
        ema_decay: Decay of ema=fixed, between 0 and 1. Higher values average over more steps.
        frames_short_side_px: Short side in px of the frames that are decoded from videos. Higher values keep
            more detail and need more disk.
        frames_per_video: Maximum number of frames decoded from a video. Higher values need more disk.
        validation_interval: Steps between evaluations on held-out videos; 0 evaluates only at the end. Higher
            values cost less time.
        grad_accum_steps: Microbatches per step and rank. Higher values need less memory.
        dp_replicate: Copies of the whole model. The other ranks shard the parameters.
        precision: Dtype of the forward and backward pass: fp32, bf16, or auto, which is bf16 on a GPU.
        checkpoint_interval: Steps between checkpoints. Higher values lose more steps when a run ends early.
        async_checkpoint: Write checkpoints while the training goes on.
        init_timeout_seconds: Time limit of communication between ranks. Higher values wait longer.
        num_workers: Threads per rank that read crops ahead. Higher values read faster.
        num_threads: CPU threads per rank. It determines the order of sums, and so the last bits.
        tensorboard: Write event files for TensorBoard.
        quiet: Print no progress.

    Raises:
        SettingError: A number is out of its range, a value is not one of its choices, or settings do not fit
            together.
    """

    data: str
    validation_data: str = ""
    model: str = "patch"
    width: PositiveInt = 128
    encoder_blocks: PositiveInt = 3
    decoder_blocks: PositiveInt = 5
    stride: tuple[PositiveInt, ...] = (4, 8, 8)
    levels: tuple[float, ...] = ()
    init_from: str = ""
    steps: PositiveInt = 4000
    lr: PositiveFloat = 1e-3
    warmup_steps: NonNegativeInt = 100
    lr_schedule: str = "constant"
    weight_decay: NonNegativeFloat = 0.0
    max_skipped_steps: NonNegativeInt = 10
    batch_size: PositiveInt = 8
    size_px: PositiveInt = 128
    frames: PositiveInt = 17
    image_share: Share = 0.1
    statistics_batches: PositiveInt = 40
    seed: NonNegativeInt = 0
    ema: str = "power"
    ema_sigma_rel: Annotated[float, Range(above=0, below=0.28)] = 0.05
    ema_decay: Share = 0.9999
    frames_short_side_px: PositiveInt = 360
    frames_per_video: PositiveInt = 96
    validation_interval: NonNegativeInt = 0
    grad_accum_steps: PositiveInt = 1
    dp_replicate: PositiveInt = 1
    precision: str = "auto"
    checkpoint_interval: PositiveInt = 500
    async_checkpoint: bool = True
    init_timeout_seconds: PositiveInt = 600
    num_workers: PositiveInt = 1
    num_threads: PositiveInt = 2
    tensorboard: bool = False
    quiet: bool = False

    def __post_init__(self) -> None:
        check_settings(self, CHOICES)
        if any(level < 2 or level != int(level) for level in self.levels):
            raise SettingError(f"levels is {self.levels}; they must be whole numbers of 2 or more")
        if len(self.stride) != 3 or any(step != int(step) for step in self.stride):
            raise SettingError(
                f"stride is {self.stride}; it must be three whole numbers", remedy="use for example 4,8,8"
            )
        if math.prod(self.levels) > MAX_CODES:
            raise SettingError(f"levels {self.levels} make more than {MAX_CODES} codes", remedy="use fewer")
        changed = [n for n in NETWORK_SETTINGS if getattr(self, n) != getattr(TokenizerConfig, n)]
        if self.init_from and changed:
            raise SettingError(
                f"init_from determines the network, and {', '.join(changed)} would have no effect",
                remedy="leave them out, or leave init_from out",
            )
        if self.size_px < WINDOW and self.perceptual_weight and not self.vgg_weights:
            raise SettingError(
                f"size_px is {self.size_px}, and the structural loss needs {WINDOW} px or more",
                remedy="set size_px higher, or perceptual_weight=0",
            )
        if self.levels and self.model != "patch":
            raise SettingError(
                f"levels are set, and the model {self.model} has its own",
                remedy="leave levels out, or set model=patch",
            )
        needed = {"gram_weight": "vgg_weights", "flow_weight": "raft_weights"}
        for weight, file in needed.items():
            if getattr(self, weight) and not getattr(self, file):
                raise SettingError(
                    f"{weight} is above 0, and there are no {file}",
                    remedy=f"set {file} to a file, or leave {weight} out",
                )
