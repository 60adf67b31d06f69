"""A recipe of many short parts: clips of random bytes are made, dropped and packed into shards."""

import random
import time
from collections.abc import Iterator, Sequence

from benchmarks.workloads.timed_stages import Ticks
from manifests import Artifact, Row, column
from pipeline import Annotate, Dag, Expand, Needs
from stages.shards.pack_shards import PackShards


class Number(Row):
    n: int


class Shot(Row):
    source: str = column("the number of the made video")
    start_s: float = column("begin of the clip", unit="s", key=True)
    end_s: float = column("end of the clip", unit="s")


class Shoot(Expand[Number, Shot]):
    """Makes n % 4 clips of each video."""

    def expand(self, row: Number) -> Iterator[Shot]:
        for second in range(row.n % 4):
            yield Shot(source=f"video {row.n}", start_s=float(second), end_s=second + 1.0)


class Made(Row):
    source: str
    start_s: float


class Clip(Row):
    clip: Artifact = column("random bytes")
    clip_audio: str = column("always none")
    clip_width_px: int = column("width", unit="px")
    clip_height_px: int = column("height", unit="px")
    clip_frames: int = column("number of frames", unit="frames")
    clip_fps: float = column("frame rate", unit="frames/s")
    clip_duration_s: float = column("duration", unit="s")
    caption: str = column("the name of the video")


class MakeClip(Annotate[Made, Clip]):
    """Makes the bytes of each clip, and takes some time for it."""

    size_bytes: int = 20_000
    wait_s: float = 0.0
    execution_settings = frozenset({"wait_s"})
    needs = Needs(batch=2)

    def annotate(self, rows: Sequence[Made]) -> Iterator[Clip]:
        for row in rows:
            time.sleep(self.wait_s)
            data = random.Random(f"{row.source} {row.start_s}").randbytes(self.size_bytes)
            yield Clip(
                clip=Artifact.of(data, ".mp4"), clip_audio="none", clip_width_px=640, clip_height_px=360,
                clip_frames=24, clip_fps=24.0, clip_duration_s=1.0, caption=f"this is {row.source}",
            )  # fmt: skip


def made_clips(count: int = 60, rows_per_part: int = 3, wait_s: float = 0.04) -> Dag:
    """Clips of random bytes in shards.

    Args:
        count: Number of videos.
        rows_per_part: Number of videos in a part.
        wait_s: Seconds that each clip takes.
    """
    dag = Dag("made_clips")
    shots = dag.read(Ticks(count=count), rows_per_part=rows_per_part).expand(Shoot())
    clips = shots.annotate(MakeClip(wait_s=wait_s)).keep("start_s < 2", because="late")
    dag.save(clips.survey(PackShards(shard_bytes=500_000)), "shards")
    return dag
