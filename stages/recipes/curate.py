"""Curate raw footage: shots are found, measured, filtered and packed into WebDataset shards.

    clipmill run stages/recipes/curate.py footage=DIR store=DIR

Thresholds are knobs of the recipe, not settings of stages, so a changed threshold measures nothing again.
"""

from dataclasses import dataclass

from pipeline import Dag, Rows
from stages.captions.describe_clip import DescribeClip
from stages.duplicates.embed_clip import EmbedClip
from stages.duplicates.find_duplicates import FindDuplicates
from stages.duplicates.search_pairs import SearchPairs
from stages.ingest.list_videos import ListVideos
from stages.ingest.probe_video import ProbeVideo
from stages.recipes.captions import DEFAULT_CAPTIONS, Captions, caption_clips
from stages.recipes.filters import DEFAULT_FILTERS, Filters, filter_shots
from stages.scan.scan_video import ScanVideo
from stages.shards.bucket import BUCKET_FRAMES, min_seconds
from stages.shards.cut_clip import CutClip
from stages.shards.pack_shards import PackShards
from stages.shards.split_clips import SplitClips
from stages.shots.find_shots import FindShots
from stages.shots.score_boundaries import ScoreBoundaries


@dataclass(frozen=True)
class Curation:
    """How shots are found, compared and packed. A recipe's argument of this type stands for all these knobs.

    Attributes:
        videos_per_part: Videos in one part, the unit of work and of resume. Higher writes fewer files; a
            stopped run repeats more work.
        detector: Detector of shot boundaries: fast, exact (fast, and TransNetV2 where fast is unsure) or
            transnet (TransNetV2 only). exact and transnet take longer.
        max_duration_s: Maximum duration of a clip in seconds. Longer shots are split into equal clips.
            Higher makes fewer and longer clips.
        duplicate_similarity: Cosine similarity, 0 to 1, from which two clips count as duplicates; the best
            one is kept. Higher keeps more clips. Below 0.7, the search for similar clips runs again.
        crf: Quality of the encoded clips, as the CRF of x264: 0 (lossless) to 51 (worst). Higher makes
            smaller files of lower quality.
        shard_mb: Size of a shard in MiB (2**20 bytes). Higher makes fewer and larger shards.
        validation_share: Share of the videos in the validation split, 0 to 1. Videos with similar clips are
            in the same split. Higher trains on fewer clips; 0 makes no split.
    """

    videos_per_part: int = 16
    detector: str = "fast"
    max_duration_s: float = 60.0
    duplicate_similarity: float = 0.75
    crf: int = 18
    shard_mb: int = 256
    validation_share: float = 0.0


DEFAULT_CURATION = Curation()


def curate(
    footage: str,
    filters: Filters = DEFAULT_FILTERS,
    captions: Captions = DEFAULT_CAPTIONS,
    curation: Curation = DEFAULT_CURATION,
    fps: float = 24.0,
    released_stores: tuple[str, ...] = (),
) -> Dag:
    """Turn raw footage into curated WebDataset shards of clips.

    Args:
        footage: Folder or URL of the videos.
        fps: Frame rate in frames per second at which a trainer reads the clips. It decides the buckets by
            number of frames. Higher puts a clip into a bucket of more frames.
        released_stores: Stores of earlier releases, separated by commas. Clips similar to a released clip are
            duplicates. Empty: clips are only compared with each other.
    """
    dag = Dag("curate")
    videos = dag.read(ListVideos(root=footage), rows_per_part=curation.videos_per_part)
    dag.save(build_shards(videos, filters, captions, curation, fps, released_stores), "shards")
    return dag


def build_shards(
    videos: Rows,
    filters: Filters,
    captions: Captions,
    curation: Curation,
    fps: float,
    released_stores: tuple[str, ...] = (),
) -> Rows:
    """Add the steps from listed videos to packed clips. The arguments are the knobs of `curate`.

    The rule on the number of frames and `PackShards` use the same limit, so `PackShards` rejects no clip as
    too short.
    """
    scanned = videos.annotate(ProbeVideo()).annotate(ScanVideo())
    scored = scanned.annotate(ScoreBoundaries(detector=curation.detector))
    found = scored.expand(
        FindShots(
            min_cut_score=filters.min_cut_score,
            min_transition_score=filters.min_transition_score,
            max_duration_s=curation.max_duration_s,
        )
    )
    shots = found.keep("kind == 'shot'", because="transition")
    if filters.min_frames > 1:
        min_duration_s = min_seconds(filters.min_frames, fps)
        shots = shots.keep(f"duration_s > {min_duration_s}", because="shorter than any bucket")
    describe = (
        () if captions.caption_model else (DescribeClip(),)
    )  # a model captions only unique clips, below
    embedded = filter_shots(shots, filters).annotate(*describe, EmbedClip())
    searched = embedded.survey(
        SearchPairs(
            min_similarity=min(curation.duplicate_similarity, SearchPairs.min_similarity),
            released_stores=released_stores,
        )
    )
    compared = searched.survey(FindDuplicates(duplicate_similarity=curation.duplicate_similarity))
    if curation.validation_share:
        split = SplitClips(
            validation_share=curation.validation_share, duplicate_similarity=curation.duplicate_similarity
        )
        compared = compared.survey(split)
    unique = caption_clips(compared.keep("not duplicate", because="duplicate"), captions)
    cut = unique.annotate(CutClip(crf=curation.crf))
    bucket_frames = (filters.min_frames, *(edge for edge in BUCKET_FRAMES if edge > filters.min_frames))
    return cut.survey(PackShards(shard_bytes=curation.shard_mb * 2**20, fps=fps, bucket_frames=bucket_frames))
