"""Raw footage in, curated WebDataset shards out.

    clipmill run stages/recipes/curate.py footage=DIR store=DIR

Every threshold is a knob and none is in a stage, so that turning one measures nothing again.
"""

from pipeline import Dag, Rows
from stages.captions.describe_clip import DescribeClip
from stages.duplicates.embed_clip import EmbedClip
from stages.duplicates.find_duplicates import FindDuplicates
from stages.duplicates.search_pairs import SearchPairs
from stages.ingest.list_videos import ListVideos
from stages.ingest.probe_video import ProbeVideo
from stages.recipes.captions import DEFAULT_CAPTIONS, Captions, captioned
from stages.recipes.filters import DEFAULT_FILTERS, Filters, kept
from stages.scan.scan_video import ScanVideo
from stages.shards.bucket import LENGTHS, least_seconds
from stages.shards.cut_clip import CutClip
from stages.shards.pack_shards import PackShards
from stages.shards.split_clips import SplitClips
from stages.shots.find_shots import FindShots
from stages.shots.score_boundaries import ScoreBoundaries


def curate(
    footage: str,
    videos_per_part: int = 16,
    filters: Filters = DEFAULT_FILTERS,
    captions: Captions = DEFAULT_CAPTIONS,
    detector: str = "fast",
    max_duration_s: float = 60.0,
    duplicate_similarity: float = 0.75,
    crf: int = 18,
    shard_mb: int = 256,
    fps: float = 24.0,
    validation_share: float = 0.0,
    against: tuple[str, ...] = (),
) -> Dag:
    """Shots that are long enough, lit, sharp, moving, whole and unlike each other, in shards.

    Args:
        footage: folder or URL of videos.
        videos_per_part: videos in one unit of work.
        detector: of shot boundaries: fast, or exact, which asks TransNetV2 where the first is unsure.
        max_duration_s: longer shots are split evenly.
        duplicate_similarity: cosine similarity from which on two clips are duplicates.
        crf: quality of the cut clips, x264: 0 is lossless, 51 worst.
        shard_mb: size of a shard, in units of 2**20 bytes.
        fps: frame rate at which a trainer will read the clips; decides the buckets of length.
        validation_share: of the videos, to be kept apart with all that is linked to them; 0 splits nothing.
        against: stores of earlier releases; a clip like one that these shipped is a duplicate.
    """
    dag = Dag("curate")
    videos = dag.read(ListVideos(root=footage), rows_per_part=videos_per_part)
    packed = shards_of(
        videos,
        filters,
        captions,
        detector,
        max_duration_s,
        duplicate_similarity,
        crf,
        shard_mb,
        fps,
        validation_share,
        against,
    )
    dag.save(packed, "shards")
    return dag


def shards_of(
    videos: Rows,
    filters: Filters,
    captions: Captions,
    detector: str,
    max_duration_s: float,
    duplicate_similarity: float,
    crf: int,
    shard_mb: int,
    fps: float,
    validation_share: float,
    against: tuple[str, ...] = (),
) -> Rows:
    """From listed videos to packed clips; the arguments are the knobs of `curate`.

    Lengths are a contract: what is dropped here as too short for a bucket is what `PackShards` would refuse.
    """
    scored = videos.annotate(ProbeVideo()).annotate(ScanVideo()).annotate(ScoreBoundaries(detector=detector))
    found = scored.expand(
        FindShots(
            min_cut_score=filters.min_cut_score,
            min_transition_score=filters.min_transition_score,
            max_duration_s=max_duration_s,
        )
    )
    shots = found.keep("kind == 'shot'", because="transition")
    if filters.min_frames > 1:
        least_s = least_seconds(filters.min_frames, fps)
        shots = shots.keep(f"duration_s > {least_s}", because="shorter than any bucket")
    facts = () if captions.caption_model else (DescribeClip(),)  # a model looks at what is unique, later
    told = kept(shots, filters).annotate(*facts, EmbedClip())
    searched = told.survey(SearchPairs(floor=min(duplicate_similarity, SearchPairs.floor), against=against))
    twinned = searched.survey(FindDuplicates(threshold=duplicate_similarity))
    split = SplitClips(share=validation_share, linked_from=duplicate_similarity)
    sided = twinned.survey(split) if validation_share else twinned
    unique = captioned(sided.keep("not duplicate", because="duplicate"), captions)
    cut = unique.annotate(CutClip(crf=crf))
    lengths = (filters.min_frames, *(edge for edge in LENGTHS if edge > filters.min_frames))
    return cut.survey(PackShards(shard_bytes=shard_mb * 2**20, fps=fps, lengths=lengths))
