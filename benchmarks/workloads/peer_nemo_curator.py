"""Processes videos by NeMo Curator's stages on the CPU, one after the other, in a Python that has them.

    PYTHON peer_nemo_curator.py OUT ENCODER VIDEO …

`benchmarks.peers` starts this script; it imports nothing of this project. It reads, splits at a fixed stride,
transcodes, measures motion and writes: each clip and its score is written, and none is filtered. The stages
run one after the other in this process, without Ray and NeMo Curator's engine: on two cores the engine
refuses to start with the resources that the stages request. Prints one JSON line for the start, then one per
video: the results, and the seconds including those of ffmpeg.

An ENCODER that NeMo Curator does not support, such as libx264, is added to its list of supported encoders.
"""

import json
import os
import resource
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

LENGTH_S, MIN_LENGTH_S = 10.0, 2.0  # of a clip; as in its tutorial


def stages(folder: str, out: str, encoder: str) -> list[Any]:
    """Create the stages of its video-splitting tutorial that run without a GPU, with one core each."""
    from nemo_curator.stages.video.clipping import clip_extraction_stages as clipping
    from nemo_curator.stages.video.filtering.motion_filter import MotionFilterStage, MotionVectorDecodeStage
    from nemo_curator.stages.video.io.clip_writer import ClipWriterStage
    from nemo_curator.stages.video.io.video_reader import VideoReader

    if encoder not in clipping.SUPPORTED_ENCODERS:
        clipping.SUPPORTED_ENCODERS += (encoder,)
    writer = ClipWriterStage(
        output_path=out,
        input_path=folder,
        upload_clips=True,
        dry_run=False,
        generate_embeddings=False,
        generate_previews=False,
        generate_captions=False,
        caption_models=[],
        enhanced_caption_models=[],
        max_workers=1,
    )
    return [
        VideoReader(input_video_path=folder),
        clipping.FixedStrideExtractorStage(
            clip_len_s=LENGTH_S, clip_stride_s=LENGTH_S, min_clip_length_s=MIN_LENGTH_S, limit_clips=0
        ),
        clipping.ClipTranscodingStage(num_cpus_per_worker=1.0, encoder=encoder),
        MotionVectorDecodeStage(num_cpus_per_worker=1.0),
        MotionFilterStage(score_only=True, motion_filter_batch_size=32),
        writer,
    ]


def cpu_seconds() -> float:
    """Return the CPU seconds of this process and its finished child processes."""
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(used.ru_utime + used.ru_stime for used in map(resource.getrusage, kinds))


def process_videos(out: str, encoder: str, films: Sequence[str]) -> None:
    """Run all stages on one video, then on the next."""
    import torch
    from nemo_curator.tasks.file_group import FileGroupTask

    torch.set_num_threads(1)
    folder = os.path.commonpath([Path(film).parent for film in films])
    first, *rest = stages(folder, out, encoder)
    chain = [first.decompose()[1], *rest]
    for stage in chain:
        stage.setup()
    report({"start": {"cpu_s": cpu_seconds()}})
    for film in films:
        wall, cpu, spent = time.perf_counter(), cpu_seconds(), {}
        before = sum(file.stat().st_size for file in Path(out, "clips").glob("*.mp4"))
        tasks = [FileGroupTask(dataset_name="peers", data=[film])]
        for stage in chain:
            start = cpu_seconds()
            made = [stage.process(task) for task in tasks]
            tasks = [task for got in made for task in (got if isinstance(got, list) else [got])]
            spent[stage.name] = cpu_seconds() - start
        clips = [clip for task in tasks for clip in task.data.clips]
        made_bytes = sum(file.stat().st_size for file in Path(out, "clips").glob("*.mp4")) - before
        scores = [clip.motion_score_global_mean for clip in clips]
        errors = sorted({error for clip in clips for error in clip.errors.values()})
        result = {"clips": len(clips), "scored": sum(score >= 0 for score in scores), "errors": errors}
        result |= {"bytes": made_bytes, "stages_cpu_s": spent}
        cost = {"cpu_s": cpu_seconds() - cpu, "wall_s": time.perf_counter() - wall}
        report({"film": film, **result, **cost})


def report(result: dict[str, Any]) -> None:
    """Write a line to the real standard output; what the packages print goes to standard error."""
    os.write(STDOUT, (json.dumps(result) + "\n").encode())


if __name__ == "__main__":
    STDOUT = os.dup(1)
    os.dup2(2, 1)
    process_videos(sys.argv[1], sys.argv[2], sys.argv[3:])
