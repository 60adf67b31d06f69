"""Raw footage in, curated WebDataset shards out.

    clipmill run stages/recipes/curate.py footage=DIR store=DIR

Every threshold is a knob and none is in a stage, so that turning one measures nothing again.
"""

from pipeline import Dag, Rows
from stages.captions.describe_clip import DescribeClip
from stages.duplicates.embed_clip import EmbedClip
from stages.duplicates.find_duplicates import FindDuplicates
from stages.ingest.list_videos import ListVideos
from stages.ingest.probe_video import ProbeVideo
from stages.recipes.keeps import USUAL, Keeps, kept
from stages.scan.scan_video import ScanVideo
from stages.shards.cut_clip import CutClip
from stages.shards.pack_shards import PackShards
from stages.shots.find_shots import FindShots
from stages.shots.score_boundaries import ScoreBoundaries


def curate(
    footage: str,
    videos_per_part: int = 16,
    keeps: Keeps = USUAL,
    detector: str = "fast",
    max_s: float = 60.0,
    alike: float = 0.87,
    crf: int = 18,
    shard_mb: int = 256,
    fps: float = 24.0,
) -> Dag:
    """Shots that are long enough, lit, sharp, moving, whole and unlike each other, in shards.

    Args:
        footage: folder or URL of videos.
        videos_per_part: videos in one unit of work.
        detector: of shot boundaries: fast, or exact, which asks TransNetV2 where the first is unsure.
        max_s: longer shots are split evenly.
        alike: cosine similarity from which on two clips are duplicates.
        crf: quality of the cut clips, x264: 0 is lossless, 51 worst.
        shard_mb: size of a shard, in units of 2**20 bytes.
        fps: frame rate at which a trainer will read the clips; decides the buckets of length.
    """
    dag = Dag("curate")
    videos = dag.read(ListVideos(root=footage), rows_per_part=videos_per_part)
    dag.save(shards_of(videos, keeps, detector, max_s, alike, crf, shard_mb, fps), "shards")
    return dag


def shards_of(
    videos: Rows,
    keeps: Keeps,
    detector: str,
    max_s: float,
    alike: float,
    crf: int,
    shard_mb: int,
    fps: float,
) -> Rows:
    """From listed videos to packed clips; the arguments are the knobs of `curate`."""
    scored = videos.annotate(ProbeVideo()).annotate(ScanVideo()).annotate(ScoreBoundaries(detector=detector))
    found = scored.expand(FindShots(cut=keeps.cut, transition=keeps.transition, max_s=max_s))
    shots = found.keep("kind == 'shot'", because="transition")
    told = kept(shots, keeps).annotate(DescribeClip(), EmbedClip())
    unique = told.survey(FindDuplicates(threshold=alike)).keep("not duplicate", because="duplicate")
    cut = unique.annotate(CutClip(crf=crf))
    return cut.survey(PackShards(shard_bytes=shard_mb * 2**20, fps=fps))
