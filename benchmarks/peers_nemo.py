"""One film after the other through NeMo Curator's own stages on CPU, in the Python that has NeMo Curator.

    PYTHON peers_nemo.py OUT ENCODER FILM …

`benchmarks.peers` starts this; nothing of the project is imported. Read, split at a fixed stride, transcode,
measure motion, write: each clip and its score is written, and none is filtered. The stages run in turn, in
this process: neither Ray nor its engine costs anything, and on two cores the engine refuses to start with the
resources that the stages ask for. Prints a line of JSON for the start, then one for each film: what was made,
and the seconds it took, with those of ffmpeg.

An ENCODER that NeMo Curator does not allow, as libx264, is added to its list of allowed ones.
"""

import json
import os
import resource
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

LENGTH_S, LEAST_S = 10.0, 2.0  # of a clip; its own tutorial's


def stages(folder: str, out: str, encoder: str) -> list[Any]:
    """What its tutorial on splitting videos puts together, as far as it runs without a GPU, with one core."""
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
            clip_len_s=LENGTH_S, clip_stride_s=LENGTH_S, min_clip_length_s=LEAST_S, limit_clips=0
        ),
        clipping.ClipTranscodingStage(num_cpus_per_worker=1.0, encoder=encoder),
        MotionVectorDecodeStage(num_cpus_per_worker=1.0),
        MotionFilterStage(score_only=True, motion_filter_batch_size=32),
        writer,
    ]


def processor_s() -> float:
    """Of this process and those it has waited for."""
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(used.ru_utime + used.ru_stime for used in map(resource.getrusage, kinds))


def in_turn(out: str, encoder: str, films: Sequence[str]) -> None:
    """All stages over one film, then the next."""
    import torch
    from nemo_curator.tasks.file_group import FileGroupTask

    torch.set_num_threads(1)
    folder = os.path.commonpath([Path(film).parent for film in films])
    first, *rest = stages(folder, out, encoder)
    chain = [first.decompose()[1], *rest]
    for stage in chain:
        stage.setup()
    tell({"start": {"cpu_s": processor_s()}})
    for film in films:
        wall, cpu, spent = time.perf_counter(), processor_s(), {}
        before = sum(file.stat().st_size for file in Path(out, "clips").glob("*.mp4"))
        tasks = [FileGroupTask(dataset_name="peers", data=[film])]
        for stage in chain:
            began = processor_s()
            made = [stage.process(task) for task in tasks]
            tasks = [task for got in made for task in (got if isinstance(got, list) else [got])]
            spent[stage.name] = processor_s() - began
        clips = [clip for task in tasks for clip in task.data.clips]
        made_bytes = sum(file.stat().st_size for file in Path(out, "clips").glob("*.mp4")) - before
        scores = [clip.motion_score_global_mean for clip in clips]
        errors = sorted({error for clip in clips for error in clip.errors.values()})
        said = {"clips": len(clips), "scored": sum(score >= 0 for score in scores), "errors": errors}
        said |= {"bytes": made_bytes, "stages_cpu_s": spent}
        took = {"cpu_s": processor_s() - cpu, "wall_s": time.perf_counter() - wall}
        tell({"film": film, **said, **took})


def tell(said: dict[str, Any]) -> None:
    """One line on the real standard output; what the packages print goes to standard error."""
    os.write(TOLD, (json.dumps(said) + "\n").encode())


if __name__ == "__main__":
    TOLD = os.dup(1)
    os.dup2(2, 1)
    in_turn(sys.argv[1], sys.argv[2], sys.argv[3:])
