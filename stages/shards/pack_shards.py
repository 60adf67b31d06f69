"""Pack clips into WebDataset tars of about one size, in buckets of like clips, each with an index beside it.

A clip's shard and its place there are drawn from its id, so that a shard mixes sources, and depends on the
clips in it and on nothing else: not on their order, the workers, or where the store is.
"""

import json
import math
import tempfile
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from manifests import Artifact, Row, Vector, column
from manifests.identity import order_of
from pipeline import Needs, Reject, Survey
from stages.media.tar import LARGEST, index_bytes, write_tar
from stages.shards.bucket import LENGTHS, exact, frames_seen, length, shape
from stages.shards.facts import Facts, known_facts
from stages.shards.sample import cleaned, facts_bytes, vector_bytes

BINS = 4096  # of the order in which a bucket's clips are dealt into shards
_NO_BUCKET = "none"
TRAIN = "train"


class CaptionedClip(Facts):
    id: str
    source: str
    start_s: float
    end_s: float
    caption: str
    enhanced_caption: str | None = None
    embedding: Vector | None = None
    clip: Artifact
    clip_audio: str
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
    facts_shard: Artifact | None = column("the tar that holds the facts, where that is another")
    facts_index: Artifact | None = column("its index")
    text_shard: Artifact | None = column("the tar that holds the caption, where that is another")
    text_index: Artifact | None = column("its index")
    vector_shard: Artifact | None = column("the tar that holds the embedding, where that is another")
    vector_index: Artifact | None = column("its index")


KINDS = ("mp4", "json", "txt", "npy")  # of members, in the order of a tar that holds all
COLUMNS = {"mp4": "shard", "json": "facts_shard", "txt": "text_shard", "npy": "vector_shard"}
INDEXES = {"mp4": "shard_index", "json": "facts_index", "txt": "text_index", "npy": "vector_index"}


class PackShards(Survey[CaptionedClip, Packed]):
    """`shards/BUCKET/NUMBER.tar` with KEY.mp4, KEY.json and KEY.txt, the key being the clip's id.

    Clips whose `split` is another than "train" lie in a folder of their own, `shards-validation/…`. Buckets:
    1080, 720, 480, 360 or small, by the short side; the nearest of 9:16, 3:4, 1:1, 4:3 and 16:9; and the
    frames that a trainer at `fps` sees, whose ranges begin at each of `lengths`. With `apart`, mp4, json, txt
    and npy have each a tar of their own, `shards/BUCKET/mp4/NUMBER.tar` …, of the same keys in order.

    Rejected: a clip that is shorter than the first of `lengths`, or too large for a tar; one without an
    embedding, where `vectors` asks for it.
    """

    shard_bytes: int = 256 * 2**20  # of clips in a shard, at most on average
    fps: float = 24.0  # frames per second of the trainer
    lengths: tuple[int, ...] = (1, *LENGTHS)  # ascending; a clip with fewer frames than the first is refused
    vectors: bool = False  # pack KEY.npy, the embedding, as well
    apart: bool = False  # one tar for each sort of member

    version = 2
    needs = Needs(cpus=0.5)

    def tally(self, rows: Sequence[CaptionedClip]) -> Mapping[str, int]:
        """Bytes per bucket and bin."""
        sizes: Counter[str] = Counter()
        for row in rows:
            if not self._fault(row):
                sizes[f"{self._bucket(row)}/{_bin(row):04d}"] += row.clip.size_bytes
        return sizes

    def fit(self, sample: Sequence[CaptionedClip], totals: Mapping[str, int]) -> bytes:
        """For each bucket the bins at which its shards begin; of a very large one, how many shards it has."""
        bins: dict[str, list[int]] = {}
        for place, size in totals.items():
            bucket, _, number = place.rpartition("/")
            bins.setdefault(bucket, [0] * BINS)[int(number)] = size
        return json.dumps({b: _begins(s, self.shard_bytes) for b, s in bins.items()}, sort_keys=True).encode()

    def assign(self, rows: Sequence[CaptionedClip], fitted: bytes) -> Iterator[str]:
        begins: dict[str, list[int] | int] = json.loads(fitted)
        for row in rows:
            if self._fault(row):
                yield _NO_BUCKET
                continue
            bucket = self._bucket(row)
            match begins[bucket]:
                case int(shards):
                    number = order_of(row.id, "shard") * shards >> 64
                case list(places):
                    number = bisect_right(places, _bin(row)) - 1
            yield f"{bucket}-{number:06d}"

    def settle(self, group: str, rows: Sequence[CaptionedClip], fitted: bytes) -> Iterator[Packed | Reject]:
        if group == _NO_BUCKET:
            yield from (Reject(self._fault(row)) for row in rows)
            return
        bucket, number = group.rsplit("-", 1)
        written = self._write(
            bucket, number, sorted(rows, key=lambda row: (order_of(row.id, "place"), row.id))
        )
        none = dict.fromkeys((*COLUMNS.values(), *INDEXES.values()))
        for row in rows:
            yield Packed(
                bucket=_name(bucket), shard_key=row.id, shard_number=int(number), **none | written
            )  # fmt: skip

    def _fault(self, row: CaptionedClip) -> str:
        """Why a clip cannot be packed, or ""."""
        if row.clip.size_bytes > LARGEST:
            return f"the clip has {row.clip.size_bytes} bytes; a tar member has at most {LARGEST}"
        frames = self._frames(row)
        if frames < self.lengths[0]:
            least = f"{self.lengths[0]} frames at {self.fps:g} per second"
            return f"no bucket takes the clip: it has {frames}, and the shortest wants {least}"
        if self.vectors and row.embedding is None:
            return (
                "the clip has no embedding to pack: put EmbedClip before PackShards, or set vectors to false"
            )
        return ""

    def _frames(self, row: CaptionedClip) -> int:
        return frames_seen(row.clip_frames / exact(row.clip_fps), self.fps)

    def _bucket(self, row: CaptionedClip) -> str:
        """The bucket, after the split where that is not "train"."""
        bucket = f"{shape(row.clip_width_px, row.clip_height_px)}_{length(self._frames(row), self.lengths)}"
        return bucket if row.split == TRAIN else f"{row.split}.{bucket}"

    def _write(self, bucket: str, number: str, rows: Sequence[CaptionedClip]) -> dict[str, Artifact]:
        """The tars and their indexes, by column; clips pass through memory one at a time."""
        kinds = KINDS if self.vectors else KINDS[:-1]
        split = bucket.partition(".")[0] if "." in bucket else ""
        folder = f"shards-{split}/{_name(bucket)}" if split else f"shards/{_name(bucket)}"
        found: dict[str, Artifact] = {}
        try:
            for together in ((kind,) for kind in kinds) if self.apart else (kinds,):
                inner = f"{folder}/{together[0]}" if self.apart else folder
                tar, index = _tar(f"{inner}/{number}", rows, together)
                found |= {COLUMNS[together[0]]: tar, INDEXES[together[0]]: index}
        except BaseException:
            for artifact in found.values():
                if artifact.file is not None:
                    artifact.file.unlink(missing_ok=True)
            raise
        return found


def _tar(name: str, rows: Sequence[CaptionedClip], kinds: Sequence[str]) -> tuple[Artifact, Artifact]:
    with tempfile.NamedTemporaryFile(suffix=".tar", delete=False) as file:
        tar = Path(file.name)
    try:
        written = write_tar(
            tar, ((f"{row.id}.{kind}", _MEMBERS[kind](row)) for row in rows for kind in kinds)
        )
        said = json.dumps({"format": 1, "samples": len(rows)}, sort_keys=True)
        index = index_bytes(written, {"clipmill.clips": said})
        return (
            Artifact.of_file(tar, name=f"{name}.tar"),
            Artifact.of(index, ".parquet", name=f"{name}.parquet"),
        )
    except BaseException:
        tar.unlink()
        raise


def _facts(row: CaptionedClip) -> bytes:
    facts = {
        "id": row.id,
        "source": row.source,
        "start_s": row.start_s,
        "end_s": row.end_s,
        "caption": _caption(row),
        "width_px": row.clip_width_px,
        "height_px": row.clip_height_px,
        "frames": row.clip_frames,
        "fps": row.clip_fps,
        "duration_s": row.clip_duration_s,
        "audio": row.clip_audio,
    }
    return facts_bytes(known_facts(row) | facts)


def _caption(row: CaptionedClip) -> str:
    return cleaned(row.enhanced_caption or row.caption)


_MEMBERS: dict[str, Callable[[CaptionedClip], bytes]] = {
    "mp4": lambda row: row.clip.read(),
    "json": _facts,
    "txt": lambda row: _caption(row).encode(),
    "npy": lambda row: vector_bytes(row.embedding or ()),
}


def _name(bucket: str) -> str:
    """The bucket without the split."""
    return bucket.rpartition(".")[2]


def _bin(row: CaptionedClip) -> int:
    return order_of(row.id, "shard") * BINS >> 64


def _begins(sizes: Sequence[int], shard_bytes: int) -> list[int] | int:
    """The bins at which shards begin, the first being 0, so that each holds about as many bytes.

    Where a shard would get fewer than 16 bins, chance is more even than they are: the number of shards.
    """
    total = sum(sizes)
    shards = max(1, math.ceil(total / shard_bytes))
    if shards > BINS // 16:
        return shards
    begins, before = [0], 0
    for place, size in enumerate(sizes):
        if place and before * shards >= total * len(begins) and len(begins) < shards:
            begins.append(place)
        before += size
    return begins
