"""What to sample from a diffusion model, the shape of its latents, and the sampled videos."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from manifests import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from training.errors import TrainingError
from training.model import ModelInfo
from training.tokenizer import Stride, count_latent_frames


@dataclass(frozen=True, kw_only=True)
class SamplingRequest:
    """What to sample. Names are those of diffusers' pipelines.

    Attributes:
        prompt: Text of each video; "" samples without text. One video is sampled per entry. Of a model of
            several cameras the entries of the views of a clip follow each other.
        views: Cameras of each clip, for a model of several cameras, in any order; () are all of the model.
        num_frames: Frames per video: 1 + k * the temporal stride. 0 is the most frequent number in training.
            With actions or a camera trajectory any number: longer videos are sampled in chunks; 0 is as many
            as the file has.
        height: Height in px. 0 is the most frequent height in training.
        width: Width in px. 0 is the most frequent width in training.
        image: File of an image that the video begins with (image-to-video); "" has none.
        images: Files of images that the views of a clip begin with, one for each view; () has none.
        video: File of a video whose last frames the sampled video begins with (video-to-video); "" has none.
        num_conditional_frames: Latent frames that are given from `video`; 0 is the largest number that the
            model was trained with.
        condition_timestep: Timestep of the noise on given frames, of a model that was trained with it. 0
            takes that of the training, or 0.001, as Cosmos-Predict1. Higher values follow them less exactly.
        actions: File of actions, .npy, .csv or .parquet, for a model that reads actions; "" has none. Each
            action leads to one more frame after the given ones. See `training.conditions.condition_files`.
        camera_trajectory: Movement of the camera, for a model that reads a camera: a name of
            `training.conditions.trajectories`, or a file of poses, .npy or .parquet; "" has none. Of several
            cameras it is the movement of the first one, and the others move with it, as in training; or a
            folder with CAMERA.conditions.parquet of each.
        camera_speed: Speed of a named trajectory, in units of the poses (m of metric ones) per s.
        camera_rotation_speed: Speed of a named rotation, in degrees per s.
        camera_radius: Radius of a named arc, in units of the poses.
        camera_fov: Horizontal field of view in degrees; 0 takes the intrinsics of the training. Files that
            state intrinsics have their own.
        trajectory: File of the places ahead of the car after the first frame, .npy [p 3], or .parquet (the
            first row of its column trajectory), for a model that reads a trajectory; "" has none.
        sampler: Name of the sampler. heun makes two predictions per step, the others one. "" is heun, or
            euler of a distilled model, which takes no other.
        num_inference_steps: Steps of the sampler. 0 is 20, or as many as the model was distilled to, which
            takes no other number.
        guidance_scale: Scale of classifier-free guidance; 1 is none. None is 2, or 1 of a distilled model.
        flow_shift: Shift of the timesteps towards noise; 1 is none. 0 takes that of the training.
        seed: Equal seeds, prompts and sizes give equal videos.
        tokenizer: Name or path of the tokenizer that the model was trained with; "" takes the recorded one.
        text_encoder: Place of the pretrained text encoder of the model; "" takes the recorded one.
        context_parallel_method: How attention covers the tokens of several ranks, as in a training.
        num_threads: CPU threads.
    """

    prompt: Sequence[str]
    views: Sequence[str] = ()
    num_frames: NonNegativeInt = 0
    height: NonNegativeInt = 0
    width: NonNegativeInt = 0
    image: str = ""
    images: Sequence[str] = ()
    video: str = ""
    num_conditional_frames: NonNegativeInt = 0
    condition_timestep: NonNegativeFloat = 0.0
    actions: str = ""
    camera_trajectory: str = ""
    camera_speed: NonNegativeFloat = 1.0
    camera_rotation_speed: NonNegativeFloat = 20.0
    camera_radius: PositiveFloat = 2.0
    camera_fov: NonNegativeFloat = 0.0
    trajectory: str = ""
    sampler: str = ""
    num_inference_steps: NonNegativeInt = 0
    guidance_scale: NonNegativeFloat | None = None
    flow_shift: NonNegativeFloat = 0.0
    seed: NonNegativeInt = 0
    tokenizer: str = ""
    text_encoder: str = ""
    context_parallel_method: str = "ulysses"
    num_threads: PositiveInt = 2


@dataclass(frozen=True)
class SampledVideos:
    """Sampled videos.

    Attributes:
        videos: RGB, uint8 [b t h w 3], one per entry of the prompt. On all ranks but the first there are
            none: b = 0.
        fps: Frames per second.
    """

    videos: npt.NDArray[np.uint8]
    fps: float


def latent_shape(request: SamplingRequest, info: ModelInfo, stride: Stride) -> tuple[int, int, int, int]:
    """Shape of the latents, [c t h w].

    Raises:
        TrainingError: A side is not a multiple of the size of a token, or the frames are not 1 + k * stride.
    """
    channels, t, h, w = info.latent_shapes[0]
    try:
        t = count_latent_frames(request.num_frames, stride.time) if request.num_frames else t
    except ValueError as error:
        raise TrainingError(str(error)) from error
    _, rows, columns = info.network.size_multiples
    sides = (
        ("height", request.height, stride.height, rows),
        ("width", request.width, stride.width, columns),
    )
    for name, pixels, pixels_per_latent, latents in sides:
        if pixels % (multiple := latents * pixels_per_latent):
            raise TrainingError(f"{name} is {pixels} px, which is not a multiple of {multiple} px")
    return channels, t, request.height // stride.height or h, request.width // stride.width or w
