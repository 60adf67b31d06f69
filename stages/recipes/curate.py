"""Curate raw footage: shots are found, measured, filtered and packed into WebDataset shards.

    clipmill run stages/recipes/curate.py footage=DIR store=DIR

Thresholds are knobs of the recipe, not settings of stages, so a changed threshold measures nothing again.
"""

from dataclasses import dataclass
from typing import Annotated

from manifests import (
    ClipmillError,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    Range,
    Share,
)
from pipeline import Dag, Rows
from pipeline.rule import ALL
from stages.captions.describe_clip import DescribeClip
from stages.duplicates.embed_clip import EmbedClip
from stages.duplicates.find_duplicates import COPIES, SEMANTIC, FindDuplicates
from stages.duplicates.search_pairs import SearchPairs
from stages.ingest.probe_video import ProbeVideo
from stages.media.encoding.encoders import check_choice
from stages.recipes.audio import AudioLimits, limit_audio, scan_audio
from stages.recipes.captions import DEFAULT_CAPTIONS, Captions, caption_clips
from stages.recipes.clip_format import ClipFormat, cut_clips, pack_clips
from stages.recipes.filters import DEFAULT_FILTERS, Filters, filter_shots
from stages.recipes.footage import DEFAULT_FOOTAGE, Footage, read_footage
from stages.recipes.images import save_images
from stages.scan.scan_video import ScanVideo
from stages.shards.bucket import min_seconds
from stages.shards.cut_clip import CUT_HDR_MODES, CutClip
from stages.shards.split_clips import SplitClips
from stages.shots.find_shots import FindShots
from stages.shots.score_boundaries import ScoreBoundaries


@dataclass(frozen=True)
class Curation(ClipFormat, AudioLimits):
    """How shots are found, compared and packed, with the knobs of `ClipFormat` and `AudioLimits`.

    Attributes:
        extensions: Endings of the names of videos in folders, such as mp4,mkv. More endings list more files.
            Empty: about 60 common ones; *: every file. A file that `footage` or a list names needs none.
        videos_per_part: Videos in one part, the unit of work and of resume. Higher writes fewer files; a
            stopped run repeats more work. 0: 16 videos or 256 MiB in the first parts, more in later parts of
            a large source.
        detector: Detector of shot boundaries: fast, exact (fast, and TransNetV2 where fast is unsure) or
            transnet (TransNetV2 only). exact and transnet take longer.
        max_duration_s: Maximum duration of a clip in seconds. Longer shots are split into equal clips.
            Higher makes fewer and longer clips.
        duplicates: Which clips count as duplicates, of which the best is kept: copies (the same frames, also
            encoded again, resized, cropped, faster or trimmed), semantic (a similar scene, such as another
            moment of a take) or off (none). semantic drops more than copies.
        max_copy_similarity: Maximum copy similarity to a better clip, 0 to 1, no unit. Clips that reach it
            are dropped if duplicates is copies. Higher keeps more clips.
        max_semantic_similarity: Maximum cosine similarity to a better clip, 0 to 1, no unit. Clips that reach
            it are dropped if duplicates is semantic. Higher keeps more clips. Below 0.7, the search for
            similar clips runs again. With an embedding_model, try 0.9.
        embedding_model: Name or folder of an open_clip model whose image vectors are compared. Empty: a
            descriptor without weights. A larger model knows more kinds of scenes and takes longer.
        hdr: What becomes of HDR videos (PQ or HLG): tonemap (8-bit clips in BT.709), keep (10-bit HEVC clips
            with the color tags of the source) or drop. Stills and captions are of tone-mapped frames.
        crf: Quality of the encoded clips, as the CRF of x264: 0 (lossless) to 51 (worst). Higher makes
            smaller files of lower quality.
        shard_mb: Size of a shard in MiB (2**20 bytes). Higher makes fewer and larger shards.
        validation_share: Share of the videos in the validation split, 0 to 1. Videos with similar clips are
            in the same split. Higher trains on fewer clips; 0 makes no split.
    """

    extensions: tuple[str, ...] = ()
    videos_per_part: NonNegativeInt = 0
    detector: str = "fast"
    max_duration_s: NonNegativeFloat = 60.0
    duplicates: str = COPIES
    max_copy_similarity: Share = FindDuplicates.max_copy_similarity
    max_semantic_similarity: Share = FindDuplicates.max_semantic_similarity
    embedding_model: str = ""
    hdr: str = "tonemap"
    crf: Annotated[int, Range(0, 51)] = 18
    shard_mb: PositiveInt = 256
    validation_share: Share = 0.0


DEFAULT_CURATION = Curation()
_REASONS = {COPIES: "copy of another clip", SEMANTIC: "same scene as another clip"}


def curate(
    footage: str,
    filters: Filters = DEFAULT_FILTERS,
    captions: Captions = DEFAULT_CAPTIONS,
    curation: Curation = DEFAULT_CURATION,
    inputs: Footage = DEFAULT_FOOTAGE,
    fps: PositiveFloat = 24.0,
    released_stores: tuple[str, ...] = (),
) -> Dag:
    """Turn raw footage into curated WebDataset shards of clips.

    Args:
        footage: Folder, file or URL of the videos, or a list of them: .txt, .csv, .jsonl or .parquet. Several
            are separated by commas.
        fps: Frame rate in frames per second at which a trainer reads the clips. It decides the buckets by
            number of frames. Higher puts a clip into a bucket of more frames.
        released_stores: Stores of earlier releases, separated by commas. Clips similar to a released clip are
            duplicates. Empty: clips are only compared with each other.
    """
    dag = Dag("curate")
    videos = read_footage(dag, footage, inputs, curation.extensions, curation.videos_per_part)
    dag.save(build_shards(videos, filters, captions, curation, fps, released_stores), "shards")
    save_images(dag, footage, inputs, filters, captions, curation)
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
    found = scan_videos(videos, curation).expand(
        FindShots(
            min_cut_score=filters.min_cut_score,
            min_transition_score=filters.min_transition_score,
            max_duration_s=curation.max_duration_s,
        )
    )
    unique = select_shots(found, filters, captions, curation, fps, released_stores)
    hdr = CutClip.hdr if curation.hdr == "drop" else curation.hdr
    cut = cut_clips(unique, curation, curation.crf, hdr)
    return pack_clips(cut, curation, filters.min_frames, fps, curation.shard_mb)


def scan_videos(videos: Rows, curation: Curation) -> Rows:
    """Add the steps from listed videos to scored boundaries."""
    check_choice(curation.hdr, (*CUT_HDR_MODES, "drop"), "hdr")
    probed = videos.annotate(ProbeVideo())
    probed = probed.keep("not is_hdr", because="HDR") if curation.hdr == "drop" else probed
    scanned = scan_audio(probed.annotate(ScanVideo()), curation)
    return scanned.annotate(ScoreBoundaries(detector=curation.detector))


def select_shots(
    found: Rows,
    filters: Filters,
    captions: Captions,
    curation: Curation,
    fps: float,
    released_stores: tuple[str, ...] = (),
) -> Rows:
    """Add the steps from found shots to the clips that are kept, with captions."""
    shots = found.keep("kind == 'shot'", because="transition")
    if filters.min_frames > 1:
        min_duration_s = min_seconds(filters.min_frames, fps)
        shots = shots.keep(f"duration_s > {min_duration_s}", because="shorter than any bucket")
    describe = (
        () if captions.caption_model else (DescribeClip(),)
    )  # a model captions only unique clips, below
    filtered = limit_audio(filter_shots(shots, filters), curation)
    embedded = filtered.annotate(*describe, EmbedClip(model=curation.embedding_model))
    return caption_clips(_drop_duplicates(embedded, curation, released_stores), captions)


def _drop_duplicates(clips: Rows, curation: Curation, released_stores: tuple[str, ...]) -> Rows:
    """Add the search for similar clips, the split into training and validation clips, and the rule."""
    if curation.duplicates not in (*_REASONS, "off"):
        raise ClipmillError(
            f"duplicates is {curation.duplicates!r}", remedy="set it to copies, semantic or off"
        )
    min_similarity = min(curation.max_semantic_similarity, SearchPairs.min_similarity)
    rows = clips.survey(SearchPairs(min_similarity=min_similarity, released_stores=released_stores))
    if curation.duplicates != "off":
        rows = rows.survey(
            FindDuplicates(
                duplicates=curation.duplicates,
                max_copy_similarity=curation.max_copy_similarity,
                max_semantic_similarity=curation.max_semantic_similarity,
            )
        )
    if curation.validation_share or "list_split" in clips.columns:
        similarity = curation.max_semantic_similarity
        rows = rows.survey(
            SplitClips(validation_share=curation.validation_share, duplicate_similarity=similarity)
        )
    if curation.duplicates == "off":
        return rows
    reason = _REASONS[curation.duplicates]  # of a recording, only the first camera can be a duplicate
    return rows.keep("not duplicate", because=reason, across=rows.rule_groups[0], when=ALL)
