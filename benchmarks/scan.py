"""How fast is the scan, relative to decoding the same files with the same number of threads?

    python -m benchmarks.scan FOOTAGE_DIR [--threads N] [--repeats N] [--steps] [--json OUT]

With `--steps`, it prints for each video how many microseconds of a frame each step of the scan takes.

For each video and repeat, decoding and scanning alternate, and the ratio is computed per pair, because other
work on the machine slows both. Figures are medians over the repeats; "cpu" is the ratio of CPU times. Work
that a process does once (imports, compiling of meters) is done before, in a scan that is not measured.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from stages.ingest.list_videos import ListVideos
from stages.media.decoding.container import main_video_stream, open_container
from stages.media.decoding.frame_fingerprint import FINGERPRINT_COLUMNS, fingerprint_frame
from stages.media.decoding.video import open_video
from stages.media.encoding.arrays import write_mp4
from stages.media.errors import UnreadableFile
from stages.media.signals import SignalsWriter
from stages.media.strip import encode_jpeg
from stages.scan.meter import load_meter
from stages.scan.scan_video import METERS, ListedVideo, ScannedVideo, ScanVideo
from stages.scan.spans import WHOLE_VIDEO, SpanScanner

FORMS = ("full_bgr", "bgr", "hsv", "gray", "half_bgr", "thumb")  # of a frame, shared by the meters


def decode(uri: str, threads: int) -> int:
    """Decode a video with PyAV alone; return the number of frames."""
    container, file = open_container(uri)
    stream = main_video_stream(container)
    stream.codec_context.thread_type = "FRAME" if threads > 1 else "NONE"
    stream.codec_context.thread_count = threads
    frames = sum(1 for _ in container.decode(stream))
    container.close()
    if file is not None:
        file.close()
    return frames


def scan(uri: str, threads: int, meters: tuple[str, ...]) -> int:
    """Scan a video, delete the files of the scan, and return the number of frames."""
    [scanned] = ScanVideo(threads=threads, meters=meters).annotate([ListedVideo(uri=uri)])
    if not isinstance(scanned, ScannedVideo):
        raise UnreadableFile(str(scanned))
    for artifact in (scanned.signals, scanned.strip):
        if artifact.file is not None:
            artifact.file.unlink()
    return scanned.scanned_frames


def measure_time(work: Callable[[], int]) -> tuple[int, float, float]:
    """Return the number of frames, wall time in s and CPU time in s."""
    wall, cpu = time.perf_counter(), time.process_time()
    frames = work()
    return frames, time.perf_counter() - wall, time.process_time() - cpu


def measure(uri: str, threads: int, repeats: int, meters: tuple[str, ...]) -> dict[str, float]:
    """Return frames per second of decoding and scanning, and the ratios of their times."""
    found: dict[str, list[float]] = {"decode_fps": [], "scan_fps": [], "ratio": [], "cpu_ratio": []}
    for _ in range(repeats):
        frames, decode_s, decode_cpu_s = measure_time(lambda: decode(uri, threads))
        _, scan_s, scan_cpu_s = measure_time(lambda: scan(uri, threads, meters))
        found["decode_fps"].append(frames / decode_s)
        found["scan_fps"].append(frames / scan_s)
        found["ratio"].append(decode_s / scan_s)
        found["cpu_ratio"].append(decode_cpu_s / scan_cpu_s)
    return {"frames": frames, **{name: statistics.median(values) for name, values in found.items()}}


def measure_steps(uri: str, threads: int, meters: tuple[str, ...]) -> dict[str, float]:
    """Scan a video as `ScanVideo` does; return the time of each step in µs per frame.

    The forms of a frame that meters share are computed first and counted on their own. The sum is a little
    more than the time of a scan, because the clock is read between the steps.
    """
    seconds: dict[str, float] = {}
    stage, loaded = ScanVideo(threads=threads), [(name, load_meter(name)) for name in meters]
    meanings = {n: text for _, meter in loaded for n, text in meter.columns.items()} | FINGERPRINT_COLUMNS
    with tempfile.TemporaryDirectory() as folder, open_video(uri, threads) as video:
        scanner = SpanScanner(video, WHOLE_VIDEO, stage.stills_per_s)
        with SignalsWriter(Path(folder) / "signals.parquet", meanings) as writer:
            clock = Clock(seconds)
            for frame, view, _, is_still in scanner.frames(0):
                clock.add("decode, times")
                for form in FORMS:
                    getattr(view, form)
                    clock.add(form)
                if is_still:
                    view.still = stage.make_still(view, frame)
                    clock.add("still")
                values = []
                for name, meter in loaded:
                    values += meter.update(view)
                    clock.add(f"meter {name}")
                values += fingerprint_frame(frame.raw)
                clock.add("fingerprint")
                if view.still is not None:
                    encode_jpeg(view.still, stage.jpeg_quality)
                    clock.add("jpeg")
                writer.append(frame.pts, view.time_s, values, view.thumb)
                clock.add("table")
            clock.add("decode, times")
        clock.add("table")
    return {name: step_s / scanner.frame_count * 1e6 for name, step_s in seconds.items()}


class Clock:
    """Adds the time since the last call to a step."""

    def __init__(self, seconds: dict[str, float]) -> None:
        self._seconds, self._last_s = seconds, time.perf_counter()

    def add(self, step: str) -> None:
        now_s = time.perf_counter()
        self._seconds[step] = self._seconds.get(step, 0.0) + now_s - self._last_s
        self._last_s = now_s


def print_steps(uri: str, threads: int, repeats: int, meters: tuple[str, ...], decode_fps: float) -> None:
    """Print the median time of each step of the scan, the longest first."""
    turns = [measure_steps(uri, threads, meters) for _ in range(repeats)]
    steps = {name: statistics.median(turn[name] for turn in turns) for name in turns[0]}
    total = sum(steps.values())
    print(f"    {'decode alone':24} {1e6 / decode_fps:7.0f} µs/frame")
    for name, step_us in sorted(steps.items(), key=lambda item: -item[1]):
        print(f"    {name:24} {step_us:7.0f} µs/frame {step_us / total:6.1%}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("footage")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--limit", type=int, default=0, help="maximum number of videos; 0: all")
    parser.add_argument("--meters", default=",".join(METERS))
    parser.add_argument("--steps", action="store_true", help="print the time of each step of the scan")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    meters = tuple(name for name in args.meters.split(",") if name)
    films: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        warm = Path(folder) / "warm.mp4"
        write_mp4(warm, [np.full((64, 96, 3), shade, np.uint8) for shade in range(0, 250, 5)], 25)
        scan(str(warm), args.threads, meters)
    print(f"{'video':40} {'frames':>7} {'decode/s':>9} {'scan/s':>9} {'ratio':>6} {'cpu':>6}")
    for video in ListVideos(root=args.footage, limit=args.limit).rows():
        try:
            found = measure(video.uri, args.threads, args.repeats, meters)
        except UnreadableFile as reason:
            print(f"{video.source:40} {reason}")
            continue
        films[video.source] = found
        print(
            f"{video.source[-40:]:40} {found['frames']:7.0f} {found['decode_fps']:9.0f}"
            f" {found['scan_fps']:9.0f} {found['ratio']:6.2f} {found['cpu_ratio']:6.2f}"
        )
        if args.steps:
            print_steps(video.uri, args.threads, args.repeats, meters, found["decode_fps"])
    if films:
        ratios = {n: statistics.median(f[n] for f in films.values()) for n in ("ratio", "cpu_ratio")}
        print(f"{'median of the videos':67} {ratios['ratio']:6.2f} {ratios['cpu_ratio']:6.2f}")
        if args.json:
            args.json.write_text(
                json.dumps({"threads": args.threads, "meters": meters, **ratios, "films": films}, indent=1)
            )


if __name__ == "__main__":
    main()
