"""Samples videos from a trained model into one mp4, one video after another."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from manifests import Artifact, NonNegativeFloat, NonNegativeInt, PositiveFloat, Row, column
from manifests.errors import InvalidSetting
from pipeline import Annotate, Needs
from stages.media.encoding.arrays import write_mp4

if TYPE_CHECKING:
    from training.recipes.sampling import SampledVideos


class TrainedModel(Row):
    id: str
    model: Artifact


class SampledVideo(Row):
    video: Artifact = column("mp4 of the sampled videos, one after another")
    video_frames: int = column("number of frames of the video", unit="frames")
    video_width_px: int = column("width of the video", unit="px")
    video_height_px: int = column("height of the video", unit="px")
    video_fps: float = column("frame rate of the video", unit="1/s")


def video_row(sampled: "SampledVideos") -> SampledVideo:
    """The row of sampled videos, encoded into one mp4."""
    frames = sampled.videos.reshape(-1, *sampled.videos.shape[2:])
    mp4 = BytesIO()
    write_mp4(mp4, frames, Fraction(sampled.fps).limit_denominator(1001), crf=18)
    return SampledVideo(
        video=Artifact.of(mp4.getvalue(), ".mp4"),
        video_frames=len(frames),
        video_width_px=frames.shape[2],
        video_height_px=frames.shape[1],
        video_fps=sampled.fps,
    )


def digest_of_given(*names: str) -> str:
    """The digests of the files that are named.

    Raises:
        InvalidSetting: there is no such file.
    """
    files = [Path(file) for file in names if file]
    for file in files:
        if not file.is_file():
            raise InvalidSetting(f"there is no file {file}", remedy="name a file that exists")
    return " ".join(sha256(file.read_bytes()).hexdigest() for file in files)


class SampleVideo(Annotate[TrainedModel, SampledVideo]):
    """Samples one video per prompt from a trained model.

    Equal models, settings and seeds give equal bytes on machines of the same kind.

    Attributes:
        prompt: Text of each video; "" samples without text. One video is sampled per entry.
        num_frames: Frames per video: 1 + a multiple of the tokenizer's temporal stride. 0 is the number that
            was most frequent in training.
        height: Height in px. 0 is the height that was most frequent in training.
        width: Width in px. 0 is the width that was most frequent in training.
        views: Cameras of each clip, of a model of several cameras; () are all of the model. `prompt` then has
            one entry per view.
        image: File of an image that each video begins with (image-to-video); "" has none. Its bytes are part
            of the content key.
        images: Files of images that the views begin with, one for each view; () has none.
        video: File of a video whose last frames each video begins with (video-to-video); "" has none.
        num_conditional_frames: Latent frames that are given from `video`; 0 is the largest number that the
            model was trained with. Higher values keep more of the motion.
        condition_timestep: Timestep of the noise on given frames, of a model that was trained with it; 0
            takes that of the training, or 0.001. Higher values follow the given frames less exactly.
        actions: File of actions, .npy, .csv or .parquet, of a model that reads actions; "" has none. Its
            bytes are part of the content key.
        camera_trajectory: Movement of the camera, of a model that reads a camera: a name such as forward, or
            a file of poses, .npy or .parquet; "" has none.
        camera_speed: Speed of a named trajectory, in units of the poses per s. Higher values move further.
        camera_rotation_speed: Speed of a named rotation, in degrees per s. Higher values turn further.
        camera_radius: Radius of a named arc, in units of the poses. Higher values turn less.
        camera_fov: Horizontal field of view in degrees; 0 takes the intrinsics of the training. Higher values
            show more.
        trajectory: File of the places ahead of the car, .npy or .parquet, of a model that reads a trajectory;
            "" has none. Its bytes are part of the content key.
        sampler: Name of the sampler: heun (two predictions per step), euler, unipc, unipc3, ddim or ddpm. ""
            is heun, or euler of a distilled model.
        num_inference_steps: Steps of the sampler. Higher values take longer and are more precise. 0 is 20, or
            as many as the model was distilled to.
        guidance_scale: Scale of classifier-free guidance; 1 is none. Higher values follow the text more. 0 is
            2, or 1 of a distilled model.
        flow_shift: Shift of the timesteps towards noise; 0 takes that of the training. Higher values spend
            more steps near the noise.
        seed: Seed of the noise.
        tokenizer: Path of the tokenizer that the model was trained with, if it is not a bundled one. Another
            one is refused, so the path is no part of the content key.
        text_encoder: Folder or hub name of the pretrained text encoder of the model; "" takes the recorded
            one. Another one is refused, so the name is no part of the content key.
    """

    version = 5

    prompt: tuple[str, ...] = ("",)
    num_frames: NonNegativeInt = 0
    height: NonNegativeInt = 0
    width: NonNegativeInt = 0
    views: tuple[str, ...] = ()
    image: str = ""
    images: tuple[str, ...] = ()
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
    guidance_scale: NonNegativeFloat = 0.0
    flow_shift: NonNegativeFloat = 0.0
    seed: NonNegativeInt = 0
    tokenizer: str = ""
    text_encoder: str = ""

    execution_settings = frozenset({"tokenizer", "text_encoder"})  # models record the digest of both
    needs = Needs(cpus=2, memory_gb=2)

    def digest(self) -> str:
        poses = self.camera_trajectory if Path(self.camera_trajectory).suffix else ""
        return digest_of_given(self.image, *self.images, self.video, self.actions, poses, self.trajectory)

    def annotate(self, rows: Sequence[TrainedModel]) -> Iterator[SampledVideo]:
        from training.recipes.sampling import SamplingRequest, sample

        request = SamplingRequest(**{**self.settings(), "guidance_scale": self.guidance_scale or None})
        for row in rows:
            with row.model.local() as path:
                sampled = sample(path, request)
            yield video_row(sampled)
