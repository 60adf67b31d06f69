"""Pack clips into WebDataset tars of about one size, in buckets of like clips, each with an index beside it.

A clip's shard and its place there are drawn from its id, so that a shard mixes sources, and depends on the
clips in it and on nothing else: not on their order, the workers, or where the store is.
"""

import json
import math
import tempfile
from bisect import bisect
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path

from manifests import Artifact, Row, column
from manifests.identity import order_of
from pipeline import Needs, Reject, Survey
from stages.media.tar import LARGEST, index_bytes, write_tar
from stages.shards.sample import Sample, cleaned, members_of

_HEIGHTS = (1080, 720, 480, 360)
_ASPECTS = {"9x16": 9 / 16, "3x4": 3 / 4, "1x1": 1.0, "4x3": 4 / 3, "16x9": 16 / 9}


class CaptionedClip(Row):
    id: str
    source: str
    start_s: float
    end_s: float
    caption: str
    caption_by: str
    light_mean: float
    sharpness_median: float
    motion_mean: float
    object_motion: float
    camera: str
    clip: Artifact
    clip_width_px: int
    clip_height_px: int
    clip_frames: int
    clip_fps: float
    clip_duration_s: float


class Packed(Row):
    bucket: str = column("short side, aspect ratio and frames at the trainer's rate of the shard's clips")
    shard: Artifact = column("the tar that holds the clip")
    shard_index: Artifact = column("Parquet index of that tar: key, member, offset, size")
    shard_key: str = column("key of the clip's members in the tar")
    shard_number: int = column("number of the tar in its bucket")


class PackShards(Survey[CaptionedClip, Packed]):
    """`shards/BUCKET/NUMBER.tar` with KEY.mp4, KEY.json and KEY.txt, the key being the clip's id.

    Buckets: 1080, 720, 480, 360 or small, by the short side; the nearest of 9:16, 3:4, 1:1, 4:3 and 16:9;
    and the frames that a trainer at `fps` sees, whose ranges begin at 1 and at each of `lengths`.
    """

    shard_bytes: int = 256 * 2**20  # of clips in a shard, on average
    fps: float = 24.0  # frames per second of the trainer
    lengths: tuple[int, ...] = (33, 65, 129, 257)  # ascending

    needs = Needs(cpus=0.5)

    def tally(self, rows: Sequence[CaptionedClip]) -> Mapping[str, int]:
        """Bytes per bucket."""
        sizes: Counter[str] = Counter()
        for row in rows:
            sizes[self._bucket(row)] += row.clip.size_bytes
        return sizes

    def fit(self, sample: Sequence[CaptionedClip], totals: Mapping[str, int]) -> bytes:
        """Shards per bucket."""
        shards = {bucket: max(1, math.ceil(size / self.shard_bytes)) for bucket, size in totals.items()}
        return json.dumps(shards, sort_keys=True).encode()

    def assign(self, rows: Sequence[CaptionedClip], fitted: bytes) -> Iterator[str]:
        shards: dict[str, int] = json.loads(fitted)
        for row in rows:
            bucket = self._bucket(row)
            yield f"{bucket}-{order_of(row.id, 'shard') * shards[bucket] >> 64:06d}"

    def settle(self, group: str, rows: Sequence[CaptionedClip], fitted: bytes) -> Iterator[Packed | Reject]:
        bucket, number = group.rsplit("-", 1)
        taken = sorted((r for r in rows if _fits(r)), key=lambda r: (order_of(r.id, "place"), r.id))
        if taken:
            shard, index = self._write(f"shards/{bucket}/{number}", taken)
        for row in rows:
            if _fits(row):
                yield Packed(
                    bucket=bucket, shard=shard, shard_index=index, shard_key=row.id, shard_number=int(number)
                )
            else:
                yield Reject(f"the clip has {row.clip.size_bytes} bytes; a tar member has at most {LARGEST}")

    def _bucket(self, row: CaptionedClip) -> str:
        short = min(row.clip_width_px, row.clip_height_px)
        side = next((f"{height}p" for height in _HEIGHTS if short >= height), "small")
        wide = math.log(row.clip_width_px / row.clip_height_px)
        aspect = min(_ASPECTS, key=lambda name: abs(math.log(_ASPECTS[name]) - wide))
        return f"{side}_{aspect}_{self._length(row)}"

    def _length(self, row: CaptionedClip) -> str:
        """The range of the number of times k / fps that lie inside the clip."""
        seconds = row.clip_frames / Fraction(row.clip_fps).limit_denominator(1001)
        frames = math.ceil(seconds * Fraction(self.fps).limit_denominator(1001))
        edges = (1, *self.lengths)
        place = bisect(edges, frames)
        return f"{edges[place - 1]}-{edges[place] - 1}f" if place < len(edges) else f"from{edges[-1]}f"

    def _write(self, name: str, rows: Sequence[CaptionedClip]) -> tuple[Artifact, Artifact]:
        """The tar and its index; clips pass through memory one at a time."""
        with tempfile.NamedTemporaryFile(suffix=".tar", delete=False) as file:
            tar = Path(file.name)
        try:
            written = write_tar(tar, (member for row in rows for member in members_of(_sample(row))))
        except BaseException:
            tar.unlink()
            raise
        said = {"format": 1, "samples": len(rows)}
        index = index_bytes(written, {"clipmill.clips": json.dumps(said, sort_keys=True)})
        return (
            Artifact.of_file(tar, name=f"{name}.tar"),
            Artifact.of(index, ".parquet", name=f"{name}.parquet"),
        )


def _fits(row: CaptionedClip) -> bool:
    return row.clip.size_bytes <= LARGEST


def _sample(row: CaptionedClip) -> Sample:
    caption = cleaned(row.caption)
    facts = {
        "id": row.id,
        "source": row.source,
        "start_s": row.start_s,
        "end_s": row.end_s,
        "caption": caption,
        "caption_by": row.caption_by,
        "width_px": row.clip_width_px,
        "height_px": row.clip_height_px,
        "frames": row.clip_frames,
        "fps": row.clip_fps,
        "duration_s": row.clip_duration_s,
        "light_mean": row.light_mean,
        "sharpness_median": row.sharpness_median,
        "motion_mean": row.motion_mean,
        "object_motion": row.object_motion,
        "camera": row.camera,
    }
    return Sample(row.id, row.clip.read(), facts, caption)
