"""Raw footage in, curated WebDataset shards out.

    clipmill run stages/recipes/curate.py footage=DIR store=DIR

Every threshold is a knob here and none is in a stage, so that turning one measures nothing again.
"""

from pipeline import Dag, Rows
from stages.captions.describe_clip import DescribeClip
from stages.duplicates.embed_clip import EmbedClip
from stages.duplicates.find_duplicates import FindDuplicates
from stages.ingest.list_videos import ListVideos
from stages.ingest.probe_video import ProbeVideo
from stages.quality.measure_frame import MeasureFrame
from stages.quality.measure_light import MeasureLight
from stages.quality.measure_motion import MeasureMotion
from stages.quality.measure_sharpness import MeasureSharpness
from stages.scan.scan_video import ScanVideo
from stages.shards.cut_clip import CutClip
from stages.shards.pack_shards import PackShards
from stages.shots.find_shots import FindShots


def curate(
    footage: str,
    videos_per_part: int = 16,
    min_s: float = 2.0,
    max_s: float = 60.0,
    darkest: float = 0.06,
    softest: float = 0.4,
    stillest: float = 0.9,
    frozen: float = 0.3,
    borders: float = 0.08,
    alike: float = 0.87,
    crf: int = 18,
    shard_mb: int = 256,
    fps: float = 24.0,
) -> Dag:
    """Shots that are long enough, lit, sharp, moving, whole and unlike each other, in shards.

    Args:
        footage: folder or URL of videos.
        videos_per_part: videos in one unit of work.
        min_s: shorter shots are dropped.
        max_s: longer shots are split evenly.
        darkest: mean luma, 0 … 1, that a clip must exceed.
        softest: steepness of edges, 1/px, that a clip must exceed.
        stillest: share of time without motion from which on a clip is dropped.
        frozen: share of repeated frames from which on a clip is dropped.
        borders: share of the picture under black borders from which on a clip is dropped.
        alike: cosine similarity from which on two clips are duplicates.
        crf: quality of the cut clips, x264: 0 is lossless, 51 worst.
        shard_mb: size of a shard, in units of 2**20 bytes.
        fps: frame rate at which a trainer will read the clips; decides the buckets of length.
    """
    dag = Dag("curate")
    videos = dag.read(ListVideos(root=footage), rows_per_part=videos_per_part)
    packed = shards_of(
        videos, min_s, max_s, darkest, softest, stillest, frozen, borders, alike, crf, shard_mb, fps
    )
    dag.save(packed, "shards")
    return dag


def shards_of(
    videos: Rows,
    min_s: float,
    max_s: float,
    darkest: float,
    softest: float,
    stillest: float,
    frozen: float,
    borders: float,
    alike: float,
    crf: int,
    shard_mb: int,
    fps: float,
) -> Rows:
    """From listed videos to packed clips; the arguments are the knobs of `curate`."""
    scanned = videos.annotate(ProbeVideo()).annotate(ScanVideo())
    shots = scanned.expand(FindShots(max_s=max_s))
    long = shots.keep(f"duration_s >= {min_s}", because="too short")
    measured = long.annotate(MeasureLight(), MeasureSharpness(), MeasureMotion(), MeasureFrame())
    good = (
        measured.keep(f"light_mean > {darkest}", because="too dark")
        .keep(f"sharpness_median > {softest}", because="blurred")
        .keep(f"frozen_share < {frozen}", because="frozen")
        .keep(f"still_share < {stillest}", because="hardly moves")
        .keep(f"border_share < {borders}", because="letterboxed")
    )
    told = good.annotate(DescribeClip(), EmbedClip())
    unique = told.survey(FindDuplicates(threshold=alike)).keep("not duplicate", because="duplicate")
    cut = unique.annotate(CutClip(crf=crf))
    return cut.survey(PackShards(shard_bytes=shard_mb * 2**20, fps=fps))
