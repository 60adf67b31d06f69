"""Curate recordings of several cameras: their clips are cut at the same times and stay together.

    clipmill run stages/recipes/recordings.py footage=DIR store=DIR

Each camera is scanned and measured like any video. A clip is a time that all cameras show.
"""

from dataclasses import replace

from manifests import PositiveFloat
from pipeline import Dag, Rows
from stages.ingest.list_cameras import ListCameras
from stages.ingest.list_recordings import ListRecordings
from stages.latents.pack_views import PackViews
from stages.recipes.captions import DEFAULT_CAPTIONS, Captions
from stages.recipes.clip_format import bucket_edges, cut_clips
from stages.recipes.curate import DEFAULT_CURATION, Curation, scan_videos, select_shots
from stages.recipes.filters import DEFAULT_FILTERS, Filters
from stages.recipes.latents import DEFAULT_ENCODING, Encoding, check_encoding, encode_windows
from stages.shards.cut_clip import CutClip
from stages.shards.pack_recordings import PackRecordings
from stages.shots.align_cameras import AlignCameras
from stages.shots.split_recording import SplitRecording


def recordings(
    footage: str,
    pattern: str = ListRecordings.pattern,
    cameras_must_pass: str = "all",
    encode_latents: bool = False,
    filters: Filters = DEFAULT_FILTERS,
    captions: Captions = DEFAULT_CAPTIONS,
    curation: Curation = DEFAULT_CURATION,
    encoding: Encoding = DEFAULT_ENCODING,
    fps: PositiveFloat = 24.0,
    allow_private_urls: bool = False,
) -> Dag:
    """Turn recordings of several cameras into shards with one sample for all cameras of a clip.

    Args:
        footage: Folder or URL of the videos, or a list with the columns uri, recording, camera and, if the
            cameras did not start together, start_s. Several are separated by commas.
        pattern: Path of a file without its ending, with {recording} and {camera}; * stands for any part of a
            name. Not used for lists with these columns.
        cameras_must_pass: Whether a clip is kept if the clips of all cameras pass a rule (all), or if that of
            at least one camera does (any).
        encode_latents: Whether clips are also encoded into latents, with all cameras in one sample.
        fps: Frame rate in frames per second at which a trainer reads the clips, and to which the clips of all
            cameras are cut if clip_fps is 0. Higher makes clips of more frames.
        allow_private_urls: Whether URLs of a list may reach private addresses, such as 10.0.0.5, localhost or
            a server of your network, and have other schemes than http, https, s3 and gs. URLs in `footage`
            itself may.
    """
    dag = Dag("recordings")
    listed = ListRecordings(
        root=footage,
        pattern=pattern,
        extensions=curation.extensions,
        allow_private_urls=allow_private_urls,
    )
    cameras = dag.read(listed, rows_per_part=curation.videos_per_part).expand(ListCameras())
    found = split_recordings(scan_videos(cameras, curation), filters, curation, fps)
    clips = found.together("recording_clip", when=cameras_must_pass)
    unique = select_shots(clips, filters, captions, curation, fps)
    clip_format = replace(curation, clip_fps=curation.clip_fps or fps)
    hdr = CutClip.hdr if curation.hdr == "drop" else curation.hdr
    packed = cut_clips(unique, clip_format, curation.crf, hdr).survey(
        PackRecordings(
            shard_bytes=curation.shard_mb * 2**20,
            fps=fps,
            resolutions=curation.resolutions,
            aspect_ratios=curation.aspect_ratios,
            aspect_tolerance=curation.aspect_tolerance,
            bucket_frames=bucket_edges(curation, filters.min_frames),
        )
    )
    dag.save(packed, "shards")
    if encode_latents:
        windows = encode_windows(packed, encoding, *check_encoding(encoding))
        dag.save(windows.survey(PackViews(shard_bytes=curation.shard_mb * 2**20)), "latents")
    return dag


def split_recordings(scored: Rows, filters: Filters, curation: Curation, fps: float) -> Rows:
    """Add the steps from scored boundaries to clips that all cameras show."""
    align = AlignCameras(
        min_cut_score=filters.min_cut_score, min_transition_score=filters.min_transition_score
    )
    rate = curation.clip_fps or fps
    found = scored.annotate(align).expand(SplitRecording(fps=rate, max_duration_s=curation.max_duration_s))
    shown_by_all = "kind not in ['partial', 'no_frames']"
    return found.keep(shown_by_all, because="not shown by all cameras", across="recording_clip")
