"""Raw footage in, curated shards and tokenizer latents out: all but the training.

clipmill run stages/recipes/latents.py footage=DIR store=DIR
"""

from pipeline import Dag, Rows
from stages.ingest.list_videos import ListVideos
from stages.latents.encode_latents import EncodeLatents
from stages.latents.pack_latents import PackLatents
from stages.recipes.curate import shards_of
from stages.recipes.keeps import USUAL, Keeps


def latents(
    footage: str,
    videos_per_part: int = 16,
    keeps: Keeps = USUAL,
    detector: str = "fast",
    max_s: float = 60.0,
    alike: float = 0.87,
    crf: int = 18,
    shard_mb: int = 256,
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
    packed = shards_of(videos, keeps, detector, max_s, alike, crf, shard_mb, latent_fps)
    dag.save(packed, "shards")
    dag.save(latents_of(packed, tokenizer, latent_px, latent_fps, latent_video_frames, shard_mb), "latents")
    return dag


def latents_of(packed: Rows, tokenizer: str, px: int, fps: float, frames: int, shard_mb: int) -> Rows:
    """From packed clips to packed latents."""
    encode = EncodeLatents(tokenizer=tokenizer, short_side_px=px, fps=fps, frames=frames)
    return packed.annotate(encode).survey(PackLatents(shard_bytes=shard_mb * 2**20))
