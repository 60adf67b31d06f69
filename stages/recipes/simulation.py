"""Encode simulated videos into shards and latents with their conditions: every video becomes a clip as it is.

    clipmill simulate camera --out FILMS
    clipmill run stages/recipes/simulation.py footage=FILMS/list.csv store=DIR conditions=camera

No rule of quality and no search for duplicates drops a video.
"""

from typing import Annotated

from manifests import PositiveInt, Range
from pipeline import Dag
from stages.captions.describe_clip import DescribeClip
from stages.quality.measure_light import MeasureLight
from stages.quality.measure_sharpness import MeasureSharpness
from stages.recipes.clip_format import ClipFormat, cut_clips, pack_clips
from stages.recipes.curate import DEFAULT_CURATION, scan_videos
from stages.recipes.footage import Footage, read_footage
from stages.recipes.latents import DEFAULT_ENCODING, Encoding, check_encoding, encode_clips
from stages.shards.bucket import min_seconds
from stages.shards.split_clips import SplitClips
from stages.shots.find_shots import FindShots

_AS_THEY_ARE = ClipFormat(clip_codec="copy")


def simulation(
    footage: str,
    where: str = Footage.where,
    clip_format: ClipFormat = _AS_THEY_ARE,
    encoding: Encoding = DEFAULT_ENCODING,
    crf: Annotated[int, Range(0, 51)] = 12,
    shard_mb: PositiveInt = 256,
) -> Dag:
    """Encode simulated videos into shards and latents, with the captions and splits of their list.

    Args:
        footage: The list.csv of `clipmill simulate`, or another list, folder or URL of videos. Several are
            separated by commas.
        where: Rule on the columns of the list, such as motion == 'forward'. Videos for which it is false are
            dropped. Empty: every video is kept.
        crf: Quality of the clips, as the CRF of x264, if clip_codec is not copy: 0 (lossless) to 51 (worst).
            Higher makes smaller files of lower quality.
        shard_mb: Size of a shard in MiB (2**20 bytes). Higher makes fewer and larger shards.
    """
    stride, min_frames = check_encoding(encoding)
    dag = Dag("simulation")
    videos = read_footage(dag, footage, Footage(where=where), (), DEFAULT_CURATION.videos_per_part)
    whole = scan_videos(videos, DEFAULT_CURATION).expand(
        FindShots(min_cut_score=1.0, min_transition_score=1.0, max_duration_s=0.0)
    )
    min_duration_s = min_seconds(min_frames, encoding.latent_fps)
    clips = whole.keep(f"duration_s > {min_duration_s}", because="shorter than a window of latents")
    described = clips.annotate(MeasureLight(), MeasureSharpness()).annotate(DescribeClip())
    split = described.survey(SplitClips(validation_share=0.0))
    packed = pack_clips(
        cut_clips(split, clip_format, crf, "tonemap"), clip_format, min_frames, encoding.latent_fps, shard_mb
    )
    dag.save(packed, "shards")
    dag.save(encode_clips(packed, encoding, stride, min_frames, shard_mb), "latents")
    return dag
