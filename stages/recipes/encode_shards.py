"""Encode WebDataset shards of videos or images with captions into latents for the trainer.

clipmill run stages/recipes/encode_shards.py shards=DIR store=DIR
"""

from manifests import NonNegativeInt, PositiveInt
from pipeline import Dag
from pipeline.errors import RecipeError
from stages.ingest.list_videos import ListVideos
from stages.latents.read_samples import ReadSamples
from stages.recipes.latents import DEFAULT_ENCODING, Encoding, check_encoding, encode_clips


def encode_shards(
    shards: str,
    encoding: Encoding = DEFAULT_ENCODING,
    shards_per_part: NonNegativeInt = 0,
    shard_mb: PositiveInt = 256,
    allow_private_urls: bool = False,
) -> Dag:
    """Turn shards of clips or images into shards of latents.

    Args:
        shards: Folder, file or URL of tars whose samples have a video or an image, and a txt or json member.
        shards_per_part: Shards in one part, the unit of work and of resume. Higher writes fewer files; a
            stopped run repeats more work. 0: 16 shards or 256 MiB in the first parts, more in later parts of
            a large source.
        shard_mb: Size of a shard of latents in MiB (2**20 bytes). Higher makes fewer and larger shards.
        allow_private_urls: Whether URLs of a list may reach private addresses, such as 10.0.0.5, localhost or
            a server of your network, and have other schemes than http, https, s3 and gs. URLs in `shards`
            itself may.
    """
    if encoding.conditions:
        raise RecipeError(
            "shards have no files beside their videos",
            where="knob conditions",
            remedy="run the recipe latents on the videos",
        )
    dag = Dag("encode_shards")
    stride, min_frames = check_encoding(encoding)
    source = ListVideos(root=shards, extensions=("tar",), allow_private_urls=allow_private_urls)
    listed = dag.read(source, rows_per_part=shards_per_part)
    samples = listed.expand(ReadSamples()).keep("sample_error == ''", because="the sample cannot be read")
    dag.save(encode_clips(samples, encoding, stride, min_frames, shard_mb), "latents")
    return dag
