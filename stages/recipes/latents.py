"""Raw footage in, curated shards and tokenizer latents out: all but the training.

clipmill run stages/recipes/latents.py footage=DIR store=DIR
"""

from dataclasses import replace

from pipeline import Dag, Rows
from pipeline.errors import RecipeError
from stages.ingest.list_videos import ListVideos
from stages.latents.encode_latents import EncodeLatents
from stages.latents.pack_latents import PackLatents
from stages.recipes.captions import DEFAULT_CAPTIONS, Captions
from stages.recipes.curate import shards_of
from stages.recipes.filters import DEFAULT_FILTERS, Filters


def latents(
    footage: str,
    videos_per_part: int = 16,
    filters: Filters = DEFAULT_FILTERS,
    captions: Captions = DEFAULT_CAPTIONS,
    detector: str = "fast",
    max_duration_s: float = 60.0,
    duplicate_similarity: float = 0.75,
    crf: int = 18,
    shard_mb: int = 256,
    validation_share: float = 0.0,
    tokenizer: str = "small",
    latent_px: int = 128,
    latent_fps: float = 12.0,
    latent_video_frames: int = 33,
) -> Dag:
    """The knobs of `curate`, and how the clips are tokenized.

    Args:
        tokenizer: a bundled tokenizer's name, or the path of one.
        latent_px: short side of the pictures that are tokenized.
        latent_fps: their frame rate.
        latent_video_frames: how many of them at most, 1 + a multiple of the tokenizer's stride.
    """
    dag = Dag("latents")
    videos = dag.read(ListVideos(root=footage), rows_per_part=videos_per_part)
    encode = EncodeLatents(
        tokenizer=tokenizer, short_side_px=latent_px, fps=latent_fps, frames=latent_video_frames
    )
    packed, coded = latents_of(
        videos,
        encode,
        filters,
        captions,
        detector,
        max_duration_s,
        duplicate_similarity,
        crf,
        shard_mb,
        validation_share,
    )
    dag.save(packed, "shards")
    dag.save(coded, "latents")
    return dag


def latents_of(
    videos: Rows,
    encode: EncodeLatents,
    filters: Filters,
    captions: Captions,
    detector: str,
    max_duration_s: float,
    duplicate_similarity: float,
    crf: int,
    shard_mb: int,
    validation_share: float,
) -> tuple[Rows, Rows]:
    """From listed videos to packed clips, none of them too short for the tokenizer, and to packed latents.

    Raises:
        RecipeError: a clip of the most frames that are tokenized would be too short for the tokenizer.
    """
    least = encode.least_frames()
    if encode.frames < least:
        raise RecipeError(
            f"latent_video_frames is {encode.frames}, and {encode.tokenizer!r} takes {least} at least",
            remedy=f"set latent_video_frames to {least} or more",
        )
    filters = replace(filters, min_frames=max(filters.min_frames, least))
    packed = shards_of(
        videos,
        filters,
        captions,
        detector,
        max_duration_s,
        duplicate_similarity,
        crf,
        shard_mb,
        encode.fps,
        validation_share,
    )
    return packed, packed.annotate(encode).survey(PackLatents(shard_bytes=shard_mb * 2**20))
