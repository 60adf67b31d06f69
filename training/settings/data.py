"""The clips of each step of a training."""

from dataclasses import dataclass

from manifests import NonNegativeFloat, NonNegativeInt, PositiveInt, Share


@dataclass(frozen=True, kw_only=True)
class ClipSettings:
    """The clips of each step of any training on shards.

    Attributes:
        batch_size: Clips per step, over all ranks. Higher values need more memory and time per step.
        tokens_per_batch: Tokens per step, over all ranks: clips of each shape are read in the largest
            multiple of batch_size that has at most so many tokens, or in batch_size if one has more. So
            batch_size is then the smallest batch. 0: batch_size clips of any shape.
        image_share: Share of the steps that train on images, which are latents of one frame. Higher values
            train less on videos. 0: images and videos are read in the proportion of their number.
        image_loss_scale: Factor of the loss of images. Higher values let images count more.
        max_latent_frames: Latent frames that longer clips are cropped to; 0 crops none. Higher values train
            on longer clips and need more memory.
        min_latent_area: Clips whose latent height * width is smaller are left out; 0 leaves none out. Higher
            values leave more out.
        max_latent_area: Clips whose latent height * width is larger are left out; 0 leaves none out. Higher
            values take larger clips, which need more memory.
        num_workers: Threads per rank that read batches ahead. Higher values read faster from a remote store.
        prefetch_factor: Steps that each of these threads reads ahead. Higher values even out slow reads, and
            need more memory.
    """

    batch_size: PositiveInt = 8
    tokens_per_batch: NonNegativeInt = 0
    image_share: Share = 0.0
    image_loss_scale: NonNegativeFloat = 1.0
    max_latent_frames: NonNegativeInt = 0
    min_latent_area: NonNegativeInt = 0
    max_latent_area: NonNegativeInt = 0
    num_workers: PositiveInt = 2
    prefetch_factor: PositiveInt = 2


@dataclass(frozen=True, kw_only=True)
class DataSettings(ClipSettings):
    """The clips of each step of a training on continuous latents.

    Attributes:
        views: Cameras of recordings whose clips are trained on, separated by commas. The model denoises the
            views of several cameras together, and knows each by its name; rays are relative to the first pose
            of the first camera. "": clips of single videos.
        latent_statistics: Mean and standard deviation of each channel that the latents are normalized by,
            images and videos apart: "auto" (computed from at most 1000 clips of each shape when the training
            first starts), or the JSON text that the command latent-statistics writes; `training train` also
            takes its file. "": the latents are not normalized.
    """

    views: str = ""
    latent_statistics: str = ""
