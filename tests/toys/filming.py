"""Toy films with hostile names: stills of one color each, shots, noise, embeddings, duplicates, a model."""

import io
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from manifests import Artifact, Row, column
from manifests.identity import id_of
from pipeline import Annotate, Dag, Expand, Launch, Reject, Source, Survey

HOSTILE = "<script>alert(1)</script>.mp4"
QUOTED = "\"onmouseover='alert(2)'&amp;\u202e.mp4"
FOREIGN = "🦜 שלום </script> `${1}`.mp4"
NAMES = (HOSTILE, QUOTED, FOREIGN, "bad.mp4")
MAX_NOISE = 2.0


class Film(Row):
    id: str = column("made from the name")
    source: str = column("its name")
    duration_s: float = column("duration", unit="s")


class Films(Source[Film]):
    def rows(self) -> Iterator[Film]:
        for name in NAMES:
            yield Film(id=id_of(name), source=name, duration_s=5.0)


class Named(Row):
    source: str


class Scanned(Row):
    strip: Artifact = column("stills")
    strip_times_s: tuple[float, ...] = column("when", unit="s")
    strip_offsets: tuple[int, ...] = column("where")


def jpeg(gray: int) -> bytes:
    return bytes(cv2.imencode(".jpg", np.full((36, 64, 3), gray, np.uint8))[1])


def animation() -> bytes:
    """An animated WebP of five images."""
    images = [Image.new("RGB", (32, 18), (40 * i, 0, 0)) for i in range(5)]
    out = io.BytesIO()
    images[0].save(out, "WEBP", save_all=True, append_images=images[1:], duration=100)
    return out.getvalue()


class Scan(Annotate[Named, Scanned]):
    """Sixteen stills, four per second, each darker than the last."""

    def annotate(self, rows: Sequence[Named]) -> Iterable[Scanned | Reject]:
        for row in rows:
            if row.source == "bad.mp4":
                yield Reject(f"<b>{row.source}</b> holds no frames")
                continue
            stills = [jpeg(200 - 10 * i) for i in range(16)]
            offsets = tuple(sum(map(len, stills[:i])) for i in range(16))
            times = tuple(i / 4 for i in range(16))
            strip = Artifact.of(b"".join(stills), ".jpegs")
            yield Scanned(strip=strip, strip_times_s=times, strip_offsets=offsets)


class Shot(Row):
    start_s: float = column("start", unit="s", key=True)
    end_s: float = column("end", unit="s")
    caption: str = column("description")
    noise: float = column("noise of the shot", unit="1")
    embedding: tuple[float, ...] = column("vector", unit="1")
    preview: Artifact | None = column("animated WebP")


class Cut(Expand[Named, Shot]):
    """Four shots of half a second. The noise is the number of the film plus a quarter of that of the shot."""

    def expand(self, row: Named) -> Iterator[Shot]:
        film = NAMES.index(row.source)
        for shot in range(4):
            yield Shot(
                start_s=float(shot),
                end_s=shot + 0.5,
                caption=f"<i>shot {shot}</i> of {row.source}",
                noise=film + 0.25 * shot,
                embedding=(float(film), float(shot), 1.0),
                preview=Artifact.of(animation(), ".webp") if film == 1 else None,
            )


class Spoken(Row):
    id: str
    caption: str


class DuplicateDecision(Row):
    duplicate: bool = column("seen before")
    duplicate_of: str | None = column("id of the row that it repeats")
    shard: Artifact = column("all captions")


class Compare(Survey[Spoken, DuplicateDecision]):
    """The second row of all is a duplicate of the first, or of one that is not here."""

    released_id: str = ""

    def assign(self, rows: Sequence[Spoken], fitted: bytes) -> Iterable[str]:
        return ["all"] * len(rows)

    def settle(
        self, group: str, rows: Sequence[Spoken], fitted: bytes
    ) -> Iterable[DuplicateDecision | Reject]:
        shard = Artifact.of(b"captions", ".tar", name="shards/0 & <1>.tar")
        for place, _ in enumerate(rows):
            better = (self.released_id or rows[0].id) if place == 1 else None
            yield DuplicateDecision(duplicate=place == 1, duplicate_of=better, shard=shard)


class Model(Row):
    curve: Artifact = column("loss by step")
    video: Artifact = column("a sample")


class Learn(Launch[Spoken, Model]):
    def run(self, rows: Iterator[Spoken], work: Path) -> Model:
        losses = [{"step": i, "loss": 2.0 / (i + 1)} for i in range(9)] + [{"step": 9, "loss": float("nan")}]
        text = "\n".join(["no JSON", *map(json.dumps, losses), '{"epoch": 1}'])
        return Model(curve=Artifact.of(text.encode(), ".jsonl"), video=Artifact.of(b"mp4 of a cat", ".mp4"))


def films(released_id: str = "") -> Dag:
    """12 shots of 3 films: 3 are dropped as late, 3 as noisy, 1 as a duplicate, and 5 are kept."""
    dag = Dag("films & <more>")
    shots = dag.read(Films(), rows_per_part=2).annotate(Scan()).expand(Cut())
    timely = shots.keep("start_s < 2.5", because="too <late>").keep("caption != ''", because="no caption")
    heard = timely.keep("noise > -1.0", because="a shot of the film is silent", across="parent")
    quiet = heard.keep(f"noise < {MAX_NOISE}", because="noisy").survey(Compare(released_id=released_id))
    kept = quiet.keep("not duplicate", because="seen already")
    dag.save(kept, "shots")
    dag.save(kept.launch(Learn()), "model")
    return dag
