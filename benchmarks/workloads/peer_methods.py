"""The methods that `benchmarks.peers` compares: each processes a video and returns its cost."""

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
from stages.media.decoding.video import open_video
from stages.media.errors import UnreadableFile
from stages.media.fingerprint import fingerprint
from stages.media.signals import read_signals
from stages.quality.measure_motion import Clip, MeasureMotion, Motion
from stages.scan.scan_video import ListedVideo, ScannedVideo, ScanVideo
from stages.shards.cut_clip import ClipFile, CutClip, KeptClip
from stages.shots.score_boundaries import ScoreBoundaries

LENGTH_S, MIN_LENGTH_S = 10.0, 2.0  # of a clip; as in peer_nemo_curator.py
START = "from benchmarks.workloads.peer_methods import METHODS\nMETHODS[{name!r}]()"  # before its first video


@dataclass(frozen=True)
class Measurement:
    """The results for a video, and the time they took."""

    clips: int = 0  # number of clips, or of shots
    scored: int = 0  # clips with a motion score
    size: int = 0  # bytes of the clips
    encode_s: float = 0.0  # CPU seconds of decoding and encoding
    cuts: Sequence[int] | None = field(default=None, repr=False)
    cpu_s: float = 0.0
    wall_s: float = 0.0


Method = Callable[[Path], Measurement]


def cpu_seconds() -> float:
    """Return the CPU seconds of this process and its finished child processes."""
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(used.ru_utime + used.ru_stime for used in map(resource.getrusage, kinds))


def measure_time(work: Method) -> Method:
    def run(film: Path) -> Measurement:
        wall, cpu = time.perf_counter(), cpu_seconds()
        return replace(work(film), cpu_s=cpu_seconds() - cpu, wall_s=time.perf_counter() - wall)

    return run


def scene_detect() -> Method:
    """PySceneDetect by its command, one process per video; the start of the process is subtracted."""
    command = str(Path(sys.executable).with_name("scenedetect"))
    start = cpu_seconds()
    subprocess.run([command, "version"], check=True, capture_output=True)
    start_s = cpu_seconds() - start

    @measure_time
    def run(film: Path) -> Measurement:
        with tempfile.TemporaryDirectory() as out:
            command_line = [command, "-i", str(film), "-o", out, "-q", "detect-adaptive", "list-scenes", "-s"]
            subprocess.run(command_line, check=True, capture_output=True)
            [listed] = Path(out).glob("*.csv")
            with listed.open(newline="") as file:
                starts = [int(row["Start Frame"]) - 1 for row in csv.DictReader(file)]
        return Measurement(clips=max(1, len(starts)), cuts=starts[1:])

    def without_start(film: Path) -> Measurement:
        measurement = run(film)
        return replace(measurement, cpu_s=max(0.0, measurement.cpu_s - start_s))

    return without_start


def transnet() -> Method:
    """TransNetV2's package; one thread."""
    find = shots.transnet(threads=1)

    @measure_time
    def run(film: Path) -> Measurement:
        cuts = find(film)["cuts"]
        return Measurement(clips=len(cuts) + 1, cuts=cuts)

    return run


def vectors() -> Method:
    """The mean length of each frame's codec motion vectors."""
    import av
    from av.codec.context import Flags2
    from av.sidedata.sidedata import Type

    @measure_time
    def run(film: Path) -> Measurement:
        with av.open(str(film)) as container:
            context = container.streams.video[0].codec_context
            context.flags2 |= Flags2.export_mvs
            context.thread_type, context.thread_count = "NONE", 1
            means = []
            for frame in container.decode(video=0):
                found = [data.to_ndarray() for data in frame.side_data if data.type == Type.MOTION_VECTORS]
                moved = [np.hypot(v["motion_x"], v["motion_y"]) / v["motion_scale"] for v in found]
                means.append(float(np.mean(moved[0])) if moved else 0.0)
        return Measurement()

    return run


def stills() -> Method:
    """A strip as in the scan: two stills per second, 448 px on the longer side."""
    import av  # noqa: F401
    import cv2

    @measure_time
    def run(film: Path) -> Measurement:
        images: list[bytes] = []
        with open_video(str(film)) as video:
            first = None
            for frame in video.frames():
                first = frame.pts if first is None else first
                if float((frame.pts - first) * video.time_base) * 2 >= len(images):
                    wide, high = frame.display_size
                    scale = min(1.0, 448 / max(wide, high))
                    size = max(1, round(wide * scale)), max(1, round(high * scale))
                    image = frame.pixels("bgr24", *size)
                    images.append(bytes(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 85])[1]))
        return Measurement()

    return run


def ours(meters: tuple[str, ...], detector: str, strip: bool, cut: bool) -> Callable[[], Method]:
    """Scan; then run the detector if there is one; measure motion and cut clips of fixed spans if `cut`."""

    def make() -> Method:
        import av  # noqa: F401
        import cv2  # noqa: F401
        import pyarrow.parquet  # noqa: F401

        from stages.shots.network import load_network

        load_network()
        scan = ScanVideo(meters=meters or ScanVideo().meters, stills_per_s=2.0 if strip else 1e-6)
        find = ScoreBoundaries(detector=detector) if detector else None

        @measure_time
        def run(film: Path) -> Measurement:
            [scanned] = scan.annotate([ListedVideo(uri=str(film))])
            if not isinstance(scanned, ScannedVideo):
                raise UnreadableFile(str(scanned))
            try:
                found = shots.ours(film, find, scanned)["cuts"] if find else None
                return _clips(film, scanned) if cut else Measurement(clips=len(found or ()) + 1, cuts=found)
            finally:
                for artifact in (scanned.signals, scanned.strip):
                    if artifact.file is not None:
                        artifact.file.unlink(missing_ok=True)

        return run

    return make


def _clips(film: Path, scanned: ScannedVideo) -> Measurement:
    """Measure the motion of spans of `LENGTH_S`, and write their clips."""
    stored = read_signals(scanned.signals, ["pts", "time_s"])
    pts, times_s = np.append(stored["pts"], scanned.scanned_end_pts), stored["time_s"]
    starts = np.arange(0.0, scanned.scanned_s - MIN_LENGTH_S, LENGTH_S)
    edges = [int(np.searchsorted(times_s, at - 1e-6)) for at in (*starts, starts[-1] + LENGTH_S)]
    spans = list(pairwise(edges))
    rows = [Clip(signals=scanned.signals, start_frame=a, end_frame=b) for a, b in spans]
    moving = sum(isinstance(result, Motion) for result in MeasureMotion().annotate(rows))
    start, size = cpu_seconds(), 0
    size_bytes, content = fingerprint(str(film))
    with tempfile.TemporaryDirectory() as out:
        for a, b in spans:
            clip_row = KeptClip(
                uri=str(film),
                size_bytes=size_bytes,
                content_sha256=content,
                variable_rate=scanned.variable_rate,
                start_pts=int(pts[a]),
                end_pts=int(pts[b]),
                start_frame=a,
                end_frame=b,
            )
            [clip] = CutClip().annotate([clip_row])
            if not isinstance(clip, ClipFile):
                raise UnreadableFile(str(clip))
            Path(out, f"{a}.mp4").write_bytes(clip.clip.read())
            size += clip.clip.size_bytes
    return Measurement(clips=len(spans), scored=moving, size=size, encode_s=cpu_seconds() - start)


METHODS: Mapping[str, Callable[[], Method]] = {
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


class NeMoCurator:
    """NeMo Curator's stages with an encoder, in one separate process for all videos."""

    def __init__(self, python: str, encoder: str) -> None:
        self.python, self.encoder = python, encoder

    def __call__(self, films: Sequence[Path]) -> tuple[float, dict[str, Measurement]]:
        """Return the CPU seconds of the start, and the measurement of each video."""
        runner = Path(__file__).with_name("peer_nemo_curator.py")
        with tempfile.TemporaryDirectory() as out:
            command_line = [self.python, str(runner), out, self.encoder, *map(str, films)]
            process = subprocess.run(command_line, capture_output=True, text=True, check=False)
            if process.returncode:
                raise RuntimeError(f"NeMo Curator failed: {process.stderr[-2000:]}")
        start, *lines = map(json.loads, process.stdout.splitlines())
        return start["start"]["cpu_s"], {Path(line["film"]).name: _measurement(line) for line in lines}


def _measurement(line: Mapping[str, Any]) -> Measurement:
    return Measurement(
        clips=line["clips"],
        scored=line["scored"],
        size=line["bytes"],
        encode_s=line["stages_cpu_s"]["clip_transcoding"],
        cpu_s=line["cpu_s"],
        wall_s=line["wall_s"],
    )
