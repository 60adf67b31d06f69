"""Recipe and stages without pixels: any number of videos and clips, for `benchmarks.scale`.

The steps have the shape of a curation: videos are listed and measured, clips are found and scored, rules drop
some, a comparison of all clips finds copies, and a survey packs the kept clips into files.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from manifests import Artifact, Row, column
from manifests.identity import id_of, shuffle_key
from pipeline import Annotate, Compare, Dag, Expand, Source, Survey

CLIP_S = 4.0
_FILE_BYTES = 100_000_000


class Video(Row):
    id: str = column("made from the number")
    source: str = column("name")
    size_bytes: int = column("size of the file", unit="bytes")


class Videos(Source[Video]):
    """Videos of 100 MB."""

    count: int = 1

    def rows(self) -> Iterator[Video]:
        for number in range(self.count):
            name = f"camera_{number % 7}/recording_{number:08d}.mp4"
            yield Video(id=id_of(name), source=name, size_bytes=_FILE_BYTES)


class Identified(Row):
    id: str


class Length(Row):
    length_s: float = column("duration of the video", unit="s")


class MeasureLength(Annotate[Identified, Length]):
    """Videos with so many clips."""

    clips: int = 50
    from_store = True

    def annotate(self, rows: Sequence[Identified]) -> Iterable[Length]:
        for _ in rows:
            yield Length(length_s=self.clips * CLIP_S)


class Clip(Row):
    start_s: float = column("start", unit="s", key=True)
    end_s: float = column("end", unit="s")


class FindClips(Expand[Length, Clip]):
    """One clip each four seconds."""

    from_store = True

    def expand(self, row: Length) -> Iterator[Clip]:
        for number in range(round(row.length_s / CLIP_S)):
            yield Clip(start_s=number * CLIP_S, end_s=(number + 1) * CLIP_S)

    def expand_many(self, rows: pa.Table) -> pa.Table:
        counts = np.round(rows["length_s"].to_numpy() / CLIP_S).astype(np.int64)
        row = np.repeat(np.arange(len(counts)), counts)
        number = np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)
        return pa.table({"row": row, "start_s": number * CLIP_S, "end_s": (number + 1) * CLIP_S})


class Score(Row):
    score: float = column("a number that the id determines, 0 to 1", unit="1")


class ScoreClip(Annotate[Identified, Score]):
    """Scores clips."""

    from_store = True

    def annotate(self, rows: Sequence[Identified]) -> Iterable[Score]:
        for row in rows:
            yield Score(score=int(row.id[:8], 16) / 2**32)


class Copies(Row):
    copies: int = column("number of other clips with the same first digits of the id", unit="1")


class FindCopies(Compare[Identified, Copies]):
    """Compares clips whose ids begin alike, in groups of about so many rows."""

    group_rows: int = 20_000
    from_store = True

    def fit(self, sample: pa.Table, rows: int) -> bytes:
        return json.dumps({"groups": 1 + rows // self.group_rows}).encode()

    def assign(self, rows: pa.Table, fitted: bytes) -> pa.Table:
        groups = json.loads(fitted)["groups"]
        names = [f"{int(row[:8], 16) * groups >> 32:06d}" for row in rows["id"].to_pylist()]
        return pa.table({"group": pa.array(names, pa.string()), "id": rows["id"]})

    def settle(self, group: str, members: pa.Table, fitted: bytes) -> pa.Table:
        start = pc.utf8_slice_codeunits(members["id"], 0, 7).combine_chunks()
        counts = pc.value_counts(start)
        count = counts.field("counts").take(pc.index_in(start, value_set=counts.field("values")))
        found = pa.table({"id": members["id"], "copies": pc.subtract(count, 1)})
        return found.filter(pc.greater(found["copies"], 0))

    def conclude(self, rows: pa.Table, findings: pa.Table | None, fitted: bytes) -> pa.Table:
        if findings is None:
            return pa.table({"copies": pa.repeat(pa.scalar(0, pa.int64()), rows.num_rows)})
        copies = findings["copies"].combine_chunks()
        places = pc.index_in(rows["id"], value_set=findings["id"].combine_chunks())
        return pa.table({"copies": pc.fill_null(copies.take(places), 0)})


class PackedClip(Row):
    shard: Artifact = column("the file that holds the clip")
    shard_number: int = column("number of the file")


class Pack(Survey[Identified, PackedClip]):
    """Writes digests of clips into files, as a shard writer does with clips: about so many rows in each."""

    group_rows: int = 5_000

    def fit(self, sample: Sequence[Identified], totals: Mapping[str, int]) -> bytes:
        return json.dumps({"groups": 1 + totals.get("rows", 0) // self.group_rows}).encode()

    def assign(self, rows: Sequence[Identified], fitted: bytes) -> Iterator[str]:
        groups = json.loads(fitted)["groups"]
        for row in rows:
            yield f"{shuffle_key(row.id) * groups >> 64:06d}"

    def settle(self, group: str, rows: Sequence[Identified], fitted: bytes) -> Iterator[PackedClip]:
        digests = "".join(hashlib.sha256(row.id.encode()).hexdigest() + "\n" for row in rows)
        shard = Artifact.of(digests.encode(), ".txt")
        for _ in rows:
            yield PackedClip(shard=shard, shard_number=int(group))


def scaled_rows(
    videos: int = 1000,
    clips: int = 50,
    min_score: float = 0.1,
    compared_rows: int = 20_000,
    packed_rows: int = 5_000,
) -> Dag:
    """A curation without pixels.

    Args:
        videos: Number of videos.
        clips: Number of clips in each video.
        min_score: Smallest score of a kept clip, 0 to 1.
        compared_rows: Clips that are compared with each other, on average.
        packed_rows: Clips in a packed file, on average.
    """
    dag = Dag("scaled_rows")
    found = dag.read(Videos(count=videos)).annotate(MeasureLength(clips=clips)).expand(FindClips())
    rows = found.annotate(ScoreClip()).keep(f"score >= {min_score}", because="low score")
    rows = rows.survey(FindCopies(group_rows=compared_rows)).keep("copies == 0", because="copy")
    dag.save(rows.survey(Pack(group_rows=packed_rows)), "packed")
    return dag
