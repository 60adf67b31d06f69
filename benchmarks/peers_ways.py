"""The ways that `benchmarks.peers` compares: each takes a film, does its work, and says what it took."""

import csv
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import shots
from stages.media.decode import open_video
from stages.media.errors import Unreadable
from stages.media.fingerprint import fingerprint
from stages.media.signals import read_signals
from stages.quality.measure_motion import Clip, MeasureMotion, Motion
from stages.scan.scan_video import Listed, Scanned, ScanVideo
from stages.shards.cut_clip import CutClip, CutOut, KeptClip
from stages.shots.score_boundaries import ScoreBoundaries

LENGTH_S, LEAST_S = 10.0, 2.0  # of a clip; as in peers_nemo.py
START = "from benchmarks.peers_ways import WAYS\nWAYS[{name!r}]()"  # what a way does before its first film


@dataclass(frozen=True)
class Taken:
    """What came of a film, and the seconds that it took."""

    clips: int = 0  # or shots
    scored: int = 0  # clips with a measure of motion
    size: int = 0  # bytes of the clips
    encode_s: float = 0.0  # processor seconds of cutting: decoding and encoding
    cuts: Sequence[int] | None = field(default=None, repr=False)
    cpu_s: float = 0.0
    wall_s: float = 0.0


Way = Callable[[Path], Taken]


def processor_s() -> float:
    """Of this process, and of those that it has waited for."""
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(used.ru_utime + used.ru_stime for used in map(resource.getrusage, kinds))


def timed(work: Way) -> Way:
    def run(film: Path) -> Taken:
        wall, cpu = time.perf_counter(), processor_s()
        return replace(work(film), cpu_s=processor_s() - cpu, wall_s=time.perf_counter() - wall)

    return run


def scene_detect() -> Way:
    """PySceneDetect by its command, a process for each film: its start is taken off each."""
    command = str(Path(sys.executable).with_name("scenedetect"))
    began = processor_s()
    subprocess.run([command, "version"], check=True, capture_output=True)
    start_s = processor_s() - began

    @timed
    def run(film: Path) -> Taken:
        with tempfile.TemporaryDirectory() as out:
            words = [command, "-i", str(film), "-o", out, "-q", "detect-adaptive", "list-scenes", "-s"]
            subprocess.run(words, check=True, capture_output=True)
            [listed] = Path(out).glob("*.csv")
            with listed.open(newline="") as file:
                starts = [int(row["Start Frame"]) - 1 for row in csv.DictReader(file)]
        return Taken(clips=max(1, len(starts)), cuts=starts[1:])

    def steady(film: Path) -> Taken:
        taken = run(film)
        return replace(taken, cpu_s=max(0.0, taken.cpu_s - start_s))

    return steady


def transnet() -> Way:
    """TransNetV2's package; one thread."""
    find = shots.transnet(threads=1)

    @timed
    def run(film: Path) -> Taken:
        cuts = find(film)["cuts"]
        return Taken(clips=len(cuts) + 1, cuts=cuts)

    return run


def vectors() -> Way:
    """The mean length of each frame's codec motion vectors."""
    import av
    from av.codec.context import Flags2
    from av.sidedata.sidedata import Type

    @timed
    def run(film: Path) -> Taken:
        with av.open(str(film)) as container:
            context = container.streams.video[0].codec_context
            context.flags2 |= Flags2.export_mvs
            context.thread_type, context.thread_count = "NONE", 1
            means = []
            for frame in container.decode(video=0):
                found = [data.to_ndarray() for data in frame.side_data if data.type == Type.MOTION_VECTORS]
                moved = [np.hypot(v["motion_x"], v["motion_y"]) / v["motion_scale"] for v in found]
                means.append(float(np.mean(moved[0])) if moved else 0.0)
        return Taken()

    return run


def stills() -> Way:
    """A strip as the scan's: two stills a second, 448 px on the longer side."""
    import av  # noqa: F401
    import cv2

    @timed
    def run(film: Path) -> Taken:
        made: list[bytes] = []
        with open_video(str(film)) as video:
            wide, high = video.shown_size(0)
            scale = min(1.0, 448 / max(wide, high))
            size = max(1, round(wide * scale)), max(1, round(high * scale))
            first = None
            for frame in video.frames():
                first = frame.pts if first is None else first
                if float((frame.pts - first) * video.time_base) * 2 >= len(made):
                    picture = frame.pixels("bgr24", *size)
                    made.append(bytes(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 85])[1]))
        return Taken()

    return run


def ours(meters: tuple[str, ...], detector: str, strip: bool, cut: bool) -> Callable[[], Way]:
    """Scan; then, where one is named, the detector; where asked for, motion and clips of fixed spans."""

    def make() -> Way:
        import av  # noqa: F401
        import cv2  # noqa: F401
        import pyarrow.parquet  # noqa: F401

        from stages.shots.network import bundled

        bundled()
        scan = ScanVideo(meters=meters or ScanVideo().meters, stills_per_s=2.0 if strip else 1e-6)
        find = ScoreBoundaries(detector=detector) if detector else None

        @timed
        def run(film: Path) -> Taken:
            [scanned] = scan.annotate([Listed(uri=str(film))])
            if not isinstance(scanned, Scanned):
                raise Unreadable(str(scanned))
            try:
                found = shots.ours(film, find, scanned)["cuts"] if find else None
                return _clips(film, scanned) if cut else Taken(clips=len(found or ()) + 1, cuts=found)
            finally:
                for artifact in (scanned.signals, scanned.strip):
                    if artifact.file is not None:
                        artifact.file.unlink(missing_ok=True)

        return run

    return make


def _clips(film: Path, scanned: Scanned) -> Taken:
    """Spans of `LENGTH_S`, their motion, and their clips, written."""
    stored = read_signals(scanned.signals, ["pts", "time_s"])
    pts, times_s = np.append(stored["pts"], scanned.scanned_end_pts), stored["time_s"]
    starts = np.arange(0.0, scanned.scanned_s - LEAST_S, LENGTH_S)
    edges = [int(np.searchsorted(times_s, at - 1e-6)) for at in (*starts, starts[-1] + LENGTH_S)]
    spans = list(pairwise(edges))
    rows = [Clip(signals=scanned.signals, start_frame=a, end_frame=b) for a, b in spans]
    moving = sum(isinstance(said, Motion) for said in MeasureMotion().annotate(rows))
    began, size = processor_s(), 0
    size_bytes, content = fingerprint(str(film))
    with tempfile.TemporaryDirectory() as out:
        for a, b in spans:
            kept = KeptClip(
                uri=str(film),
                size_bytes=size_bytes,
                content_sha256=content,
                variable_rate=scanned.variable_rate,
                start_pts=int(pts[a]),
                end_pts=int(pts[b]),
                start_frame=a,
                end_frame=b,
            )
            [clip] = CutClip().annotate([kept])
            if not isinstance(clip, CutOut):
                raise Unreadable(str(clip))
            Path(out, f"{a}.mp4").write_bytes(clip.clip.read())
            size += clip.clip.size_bytes
    return Taken(clips=len(spans), scored=moving, size=size, encode_s=processor_s() - began)


WAYS: Mapping[str, Callable[[], Way]] = {
    "scenedetect": scene_detect,
    "transnet": transnet,
    "vectors": vectors,
    "stills": stills,
    "shots fast": ours(("content", "repeats"), "fast", strip=False, cut=False),
    "shots exact": ours(("content", "repeats"), "exact", strip=False, cut=False),
    "clips motion": ours(("motion",), "", strip=False, cut=True),
    "clips all": ours((), "fast", strip=True, cut=True),
    "all fast": ours((), "fast", strip=True, cut=False),
    "all exact": ours((), "exact", strip=True, cut=False),
}


class NeMo:
    """NeMo Curator's stages with an encoder, in a process of its own for all films."""

    def __init__(self, python: str, encoder: str) -> None:
        self.python, self.encoder = python, encoder

    def __call__(self, films: Sequence[Path]) -> tuple[float, dict[str, Taken]]:
        """Processor seconds of the start, and what came of each film."""
        runner = Path(__file__).with_name("peers_nemo.py")
        with tempfile.TemporaryDirectory() as out:
            words = [self.python, str(runner), out, self.encoder, *map(str, films)]
            done = subprocess.run(words, capture_output=True, text=True, check=False)
            if done.returncode:
                raise RuntimeError(f"NeMo Curator failed: {done.stderr[-2000:]}")
        start, *lines = map(json.loads, done.stdout.splitlines())
        return start["start"]["cpu_s"], {Path(line["film"]).name: _taken(line) for line in lines}


def _taken(line: Mapping[str, Any]) -> Taken:
    return Taken(
        clips=line["clips"],
        scored=line["scored"],
        size=line["bytes"],
        encode_s=line["stages_cpu_s"]["clip_transcoding"],
        cpu_s=line["cpu_s"],
        wall_s=line["wall_s"],
    )
