"""Curate recordings of several cameras: their clips are cut at the same times and stay together.

    clipmill run stages/recipes/recordings.py footage=DIR store=DIR pattern={recording}/{camera}

Each camera is scanned and measured like any video. A clip is a time that all cameras show.
"""

from manifests import PositiveFloat
from pipeline import Dag
from stages.ingest.list_cameras import ListCameras
from stages.ingest.list_recordings import ListRecordings
from stages.recipes.captions import DEFAULT_CAPTIONS, Captions
from stages.recipes.curate import DEFAULT_CURATION, Curation, scan_videos, select_shots
from stages.recipes.filters import DEFAULT_FILTERS, Filters
from stages.shards.bucket import BUCKET_FRAMES
from stages.shards.cut_clip import CutClip
from stages.shards.pack_recordings import PackRecordings
from stages.shots.align_cameras import AlignCameras
from stages.shots.split_recording import SplitRecording


def recordings(
    footage: str,
    pattern: str = ListRecordings.pattern,
    cameras_must_pass: str = "all",
    filters: Filters = DEFAULT_FILTERS,
    captions: Captions = DEFAULT_CAPTIONS,
    curation: Curation = DEFAULT_CURATION,
    fps: PositiveFloat = 24.0,
) -> Dag:
    """Turn recordings of several cameras into shards with one sample for all cameras of a clip.

    Args:
        footage: Folder or URL of the videos, or a list with the columns uri, recording, camera and, if the
            cameras did not start together, start_s.
        pattern: Path of a file without its ending, with {recording} and {camera}; * stands for any part of a
            name. Not used for a list.
        cameras_must_pass: all: a clip is kept if the clips of all cameras pass a rule. any: if one of them
            passes. Rules on times always need all.
        fps: Frame rate of the clips of all cameras in frames per second. Higher makes clips of more frames.
    """
    dag = Dag("recordings")
    listed = ListRecordings(root=footage, pattern=pattern, extensions=curation.extensions)
    read = dag.read(listed, rows_per_part=curation.videos_per_part)
    scored = scan_videos(read.expand(ListCameras()), curation)
    aligned = scored.annotate(
        AlignCameras(min_cut_score=filters.min_cut_score, min_transition_score=filters.min_transition_score)
    )
    found = aligned.expand(SplitRecording(fps=fps, max_duration_s=curation.max_duration_s))
    both = "kind not in ['partial', 'no_frames']"
    clips = found.keep(both, because="not shown by all cameras", across="recording_clip")
    clips = clips.together("recording_clip", when=cameras_must_pass)
    unique = select_shots(clips, filters, captions, curation, fps)
    hdr = CutClip.hdr if curation.hdr == "drop" else curation.hdr
    cut = unique.annotate(CutClip(crf=curation.crf, hdr=hdr, fps=fps))
    bucket_frames = (filters.min_frames, *(edge for edge in BUCKET_FRAMES if edge > filters.min_frames))
    pack = PackRecordings(shard_bytes=curation.shard_mb * 2**20, fps=fps, bucket_frames=bucket_frames)
    dag.save(cut.survey(pack), "shards")
    return dag
