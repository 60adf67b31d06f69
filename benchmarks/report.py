"""Measures the size of report.html, and the time that writing it takes, by number of clips.

    python -m benchmarks.report [--clips 1000,10000,100000] [--html OUT] [--json OUT]

The rows are synthetic: 20 clips a video, 20 scores, 10 rules, a caption and an embedding of 512 values each.
The stills are textures of the size of real ones: 448 x 252 px, about 20 kB as JPEG, two per second.

MB     size of report.html; the limit is 25 MB for 10,000 clips
s      time to write it
clips  clips whose columns it contains; stills and previews: clips with a picture, and with one that plays
"""

import argparse
import json
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.workloads.printing import table, write_json
from manifests import Artifact, Row, Vector, column
from manifests.identity import id_of
from manifests.stores.folder import FolderStore
from pipeline import Annotate, Dag, Expand, Source
from pipeline.executors.inline import Inline
from pipeline.history.run_history import read_history
from pipeline.progress.stopwatch import Stopwatch
from pipeline.recipes.request import RunRequest
from pipeline.report.page import write_report
from pipeline.run import run_dag

CLIPS_PER_VIDEO, SECONDS, STILLS_PER_S = 20, 4.0, 2
SCORES = tuple(f"score_{number:02d}" for number in range(20))
RULES = 10


class Video(Row):
    id: str = column("made from the number")
    source: str = column("name")
    number: int = column("number of the video")
    duration_s: float = column("duration", unit="s")


class Videos(Source[Video]):
    count: int = 50

    def rows(self) -> Iterator[Video]:
        for number in range(self.count):
            name = f"camera_{number % 7}/recording_{number:06d}.mp4"
            yield Video(id=id_of(name), source=name, number=number, duration_s=CLIPS_PER_VIDEO * SECONDS)


class Numbered(Row):
    id: str
    number: int


class Strip(Row):
    strip: Artifact = column("stills")
    strip_times_s: tuple[float, ...] = column("times", unit="s")
    strip_offsets: tuple[int, ...] = column("offsets", unit="bytes")


@cache
def jpeg(seed: int) -> bytes:
    """A texture with the detail of a photograph."""
    rng = np.random.default_rng(seed)
    image = np.zeros((252, 448, 3), np.float32)
    for width, strength in ((8, 60), (40, 30), (150, 14), (448, 4)):
        noise = rng.normal(0, strength, (width * 9 // 16, width, 3)).astype(np.float32)
        image += cv2.resize(noise, (448, 252), interpolation=cv2.INTER_CUBIC)
    return bytes(cv2.imencode(".jpg", np.clip(image + 120, 0, 255).astype(np.uint8))[1])


class Scan(Annotate[Numbered, Strip]):
    def annotate(self, rows: Sequence[Numbered]) -> Iterable[Strip]:
        for row in rows:
            count = int(CLIPS_PER_VIDEO * SECONDS * STILLS_PER_S)
            stills = [jpeg((row.number * 7 + i) % 64) for i in range(count)]
            offsets = tuple(np.cumsum([0, *map(len, stills[:-1])]).tolist())
            times = tuple(i / STILLS_PER_S for i in range(count))
            strip = Artifact.of(b"".join(stills), ".jpegs")
            yield Strip(strip=strip, strip_times_s=times, strip_offsets=offsets)


class Clip(Row):
    start_s: float = column("start", unit="s", key=True)
    end_s: float = column("end", unit="s")
    caption: str = column("caption")


class Cut(Expand[Numbered, Clip]):
    def expand(self, row: Numbered) -> Iterator[Clip]:
        for place in range(CLIPS_PER_VIDEO):
            text = (
                f"Clip {place} of video {row.number}: a textured surface moves slowly, evenly lit, in color."
            )
            yield Clip(start_s=place * SECONDS, end_s=(place + 1) * SECONDS, caption=text)


class Identified(Row):
    id: str


_columns = {name: column(f"score {name[-2:]}") for name in SCORES} | {"embedding": column("vector", unit="1")}
_types = dict.fromkeys(SCORES, float) | {"embedding": Vector}
Scores: Any = type("Scores", (Row,), {"__annotations__": _types, "__module__": __name__, **_columns})


class Score(Annotate[Identified, Scores]):
    """Scores between 0 and 1; embeddings around 40 centers."""

    def annotate(self, rows: Sequence[Identified]) -> Iterable[Any]:
        centers = np.random.default_rng(0).normal(size=(40, 512))
        for row in rows:
            rng = np.random.default_rng(int(row.id[:8], 16))
            scores = dict(zip(SCORES, rng.beta(2, 3, len(SCORES)).tolist(), strict=True))
            vector = centers[rng.integers(40)] + 0.3 * rng.normal(size=512)
            yield Scores(**scores, embedding=vector.astype(np.float32))


def dag(clips: int) -> Dag:
    """Clips that ten rules read; each drops about 4 %."""
    dag = Dag("report")
    videos = dag.read(Videos(count=-(-clips // CLIPS_PER_VIDEO)), rows_per_part=16)
    rows = videos.annotate(Scan()).expand(Cut()).annotate(Score())
    for name in SCORES[:RULES]:
        rows = rows.keep(f"{name} < 0.78", because=f"high {name}")
    dag.save(rows, "clips")
    return dag


def measure(clips: int, html: str) -> dict[str, Any]:
    """Run the DAG, and write the report again with a clock."""
    with tempfile.TemporaryDirectory() as folder:
        request = RunRequest("report.py", {}, folder)
        run_dag(dag(clips), folder, executor=Inline(), observer=Stopwatch(), request=request)
        history = read_history(FolderStore(folder))
        start = time.perf_counter()
        page = Path(write_report(history))
        seconds = time.perf_counter() - start
        text = page.read_text()
        if html:
            Path(html).write_text(text)
        data = json.loads(text.split('id="data">')[1].split("</script>")[0])["clips"]
    pictures = {name: len(data[name]) for name in ("stills", "previews")}
    return {
        "total": data["total"],
        "MB": len(text.encode()) / 1e6,
        "s": seconds,
        "clips": len(data["id"]),
        **pictures,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clips", default="1000,10000,100000", help="numbers of clips")
    parser.add_argument("--html", default="", help="file for the last report")
    parser.add_argument("--json", default="", help="file for the results")
    args = parser.parse_args()
    results = [measure(int(clips), args.html) for clips in args.clips.split(",")]
    head = ("clips of the run", "MB", "s", "clips", "stills", "previews")
    rows = [
        (f"{r['total']:,}", f"{r['MB']:.1f}", f"{r['s']:.1f}", *(f"{r[name]:,}" for name in head[3:]))
        for r in results
    ]
    print(table(head, rows))
    write_json(args.json, {"results": results})


if __name__ == "__main__":
    main()
