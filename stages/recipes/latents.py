"""Curate raw footage into shards and encode the clips into tokenizer latents: everything but the training.

clipmill run stages/recipes/latents.py footage=DIR store=DIR
"""

from dataclasses import dataclass, replace

from manifests import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, Share
from pipeline import Dag, Rows
from pipeline.errors import RecipeError
from stages.conditions.add_conditions import AddConditions
from stages.conditions.estimate_camera import EstimateCamera
from stages.latents.encode_latents import EncodeLatents
from stages.latents.encode_text import EncodeText
from stages.latents.pack_latents import PackLatents
from stages.latents.split_windows import SplitWindows
from stages.recipes.captions import DEFAULT_CAPTIONS, Captions
from stages.recipes.curate import DEFAULT_CURATION, Curation, build_shards
from stages.recipes.filters import DEFAULT_FILTERS, Filters
from stages.recipes.footage import DEFAULT_FOOTAGE, Footage, read_footage
from stages.recipes.images import save_image_latents, save_images


@dataclass(frozen=True)
class Encoding:
    """How clips are encoded into latents. A recipe's argument of this type stands for all these knobs.

    Attributes:
        tokenizer: Name of a bundled tokenizer, or the path of a tokenizer's file or folder.
        latent_px: Short side in px of the frames that are encoded. Higher keeps more detail and makes larger
            latents.
        latent_fps: Frame rate of the frames that are encoded, in frames per second. Higher covers a shorter
            time with the same number of frames.
        latent_video_frames: Frames of a window, 1 + a multiple of the tokenizer's temporal stride. A clip has
            windows that follow each other. Higher makes fewer and longer latents.
        min_window_frames: Minimum number of frames of a window. Fewer at the end of a clip are dropped. 0 is
            1 + the temporal stride. Higher drops more, and makes fewer buckets.
        latent_dtype: Dtype of stored latents: float16, or bfloat16, which is less exact.
        latent_precision: Dtype in which the tokenizer computes: float32, or bfloat16, faster on a GPU.
        max_crop_share: Largest share of a side of a frame that is cropped to fit the aspect ratio of its
            bucket, 0 to 1. Higher crops more and pads less.
        text_encoder: Folder, or repository of the Hugging Face hub, of a T5 encoder or a language model whose
            text embeddings of the captions are packed with the latents. "" packs none.
        stored_text: What is packed of the captions: embeddings, or tokens, where embeddings are too large.
        conditions: Conditions that are packed with the latents: action, camera, trajectory, or several. A
            video has them in NAME.conditions.parquet beside it. Clips of others are dropped.
        estimate_camera: Whether the camera poses of clips are estimated from their frames, by structure from
            motion. It takes about 2 s per frame on one core.
        focal_length: Focal length of the camera in frame widths, for estimate_camera. Higher is a narrower
            view. 0 estimates it, which a camera that only moves straight does not allow.
    """

    tokenizer: str = "small"
    latent_px: PositiveInt = 128
    latent_fps: PositiveFloat = 12.0
    latent_video_frames: PositiveInt = 33
    min_window_frames: NonNegativeInt = 0
    latent_dtype: str = EncodeLatents.dtype
    latent_precision: str = EncodeLatents.precision
    max_crop_share: Share = EncodeLatents.max_crop_share
    text_encoder: str = ""
    stored_text: str = EncodeText.stored_text
    conditions: tuple[str, ...] = ()
    estimate_camera: bool = False
    focal_length: NonNegativeFloat = EstimateCamera.focal_length

    def stage(self) -> EncodeLatents:
        """The stage with these settings."""
        return EncodeLatents(
            tokenizer=self.tokenizer,
            short_side_px=self.latent_px,
            max_crop_share=self.max_crop_share,
            dtype=self.latent_dtype,
            precision=self.latent_precision,
        )


DEFAULT_ENCODING = Encoding()


def latents(
    footage: str,
    filters: Filters = DEFAULT_FILTERS,
    captions: Captions = DEFAULT_CAPTIONS,
    curation: Curation = DEFAULT_CURATION,
    inputs: Footage = DEFAULT_FOOTAGE,
    encoding: Encoding = DEFAULT_ENCODING,
) -> Dag:
    """Turn raw footage into curated shards and latents of their clips.

    Args:
        footage: Folder, file or URL of the videos, or a list of them: .txt, .csv, .jsonl or .parquet. Several
            are separated by commas.
    """
    dag = Dag("latents")
    videos = read_footage(dag, footage, inputs, curation.extensions, curation.videos_per_part)
    shards, encoded = build_latents(videos, filters, captions, curation, encoding)
    dag.save(shards, "shards")
    dag.save(encoded, "latents")
    images = save_images(dag, footage, inputs, filters, captions, curation)
    save_image_latents(dag, images, encoding, curation.shard_mb)
    return dag


def build_latents(
    videos: Rows, filters: Filters, captions: Captions, curation: Curation, encoding: Encoding
) -> tuple[Rows, Rows]:
    """Add the steps from listed videos to packed clips and to packed latents.

    Clips that are too short for the tokenizer are dropped before they are measured.

    Raises:
        RecipeError: latent_video_frames is below the minimum of the tokenizer, or does not fit its stride.
    """
    stride, min_frames = check_encoding(encoding)
    filters = replace(filters, min_frames=max(filters.min_frames, min_frames))
    shards = build_shards(videos, filters, captions, curation, encoding.latent_fps)
    return shards, encode_clips(shards, encoding, stride, min_frames, curation.shard_mb)


def check_encoding(encoding: Encoding) -> tuple[int, int]:
    """The temporal stride of the tokenizer, and the minimum number of frames of a window of a video.

    Raises:
        RecipeError: latent_video_frames is below the minimum, or does not fit the stride; or estimate_camera
            is set without conditions=camera.
    """
    if encoding.estimate_camera and "camera" not in encoding.conditions:
        raise RecipeError("estimate_camera packs nothing without conditions=camera", remedy="set both")
    encode = encoding.stage()
    stride = encode.temporal_stride()
    frames, min_frames = encoding.latent_video_frames, max(1 + stride, encoding.min_window_frames)
    if frames < min_frames:
        raise RecipeError(
            f"latent_video_frames is {frames}; {encode.tokenizer!r} needs at least {min_frames}",
            remedy=f"set latent_video_frames to {min_frames} or more",
        )
    if below := (frames - 1) % stride:
        lower = frames - below
        raise RecipeError(
            f"latent_video_frames is {frames}; it must be 1 + a multiple of {stride},"
            f" the temporal stride of {encode.tokenizer!r}",
            remedy=f"set latent_video_frames to {lower} or {lower + stride}",
        )
    return stride, min_frames


def encode_clips(clips: Rows, encoding: Encoding, stride: int, min_frames: int, shard_mb: int) -> Rows:
    """Add the steps from clips with captions to packed latents."""
    encoded = encode_windows(clips, encoding, stride, min_frames)
    return encoded.survey(PackLatents(shard_bytes=shard_mb * 2**20))


def encode_windows(clips: Rows, encoding: Encoding, stride: int, min_frames: int) -> Rows:
    """Add the steps from clips with captions to the latents of their windows."""
    if encoding.text_encoder:
        clips = clips.annotate(
            EncodeText(text_encoder=encoding.text_encoder, stored_text=encoding.stored_text)
        )
    if encoding.estimate_camera:
        clips = clips.annotate(EstimateCamera(fps=encoding.latent_fps, focal_length=encoding.focal_length))
    windows = clips.expand(
        SplitWindows(fps=encoding.latent_fps, window_frames=encoding.latent_video_frames, stride=stride)
    )
    kept = windows.keep(
        f"window_frames >= {min_frames} or window_kind == 'image'", because="remainder too short for a window"
    )
    encoded = kept.annotate(encoding.stage())
    if not encoding.conditions:
        return encoded
    located = encoded.annotate(AddConditions(conditions=encoding.conditions))
    return located.keep("missing_conditions == ''", because="no conditions beside the video")
