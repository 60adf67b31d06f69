"""How fast is the scan, against a loop that only decodes the same files with the same threads?

    python -m benchmarks.scan FOOTAGE_DIR [--threads N] [--repeats N] [--json OUT]

Per film and repeat, decoding and scanning take turns, and the ratio is of that pair: other work on the
machine slows both. Figures are medians over the repeats; "cpu" is the same ratio in processor time. What
a process does once (imports, compiling of meters) is done before, on a scan that is not counted.
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
from stages.media.container import open_container, shown_stream
from stages.media.encode import write_mp4
from stages.media.errors import Unreadable
from stages.scan.scan_video import METERS, Listed, Scanned, ScanVideo


def decode(uri: str, threads: int) -> int:
    """Frames of a bare PyAV loop."""
    container, file = open_container(uri)
    stream = shown_stream(container)
    stream.codec_context.thread_type = "FRAME" if threads > 1 else "NONE"
    stream.codec_context.thread_count = threads
    frames = sum(1 for _ in container.decode(stream))
    container.close()
    if file is not None:
        file.close()
    return frames


def scan(uri: str, threads: int, meters: tuple[str, ...]) -> int:
    """Frames of one scan, whose files are thrown away."""
    [scanned] = ScanVideo(threads=threads, meters=meters).annotate([Listed(uri=uri)])
    if not isinstance(scanned, Scanned):
        raise Unreadable(str(scanned))
    for artifact in (scanned.signals, scanned.strip):
        if artifact.file is not None:
            artifact.file.unlink()
    return scanned.scanned_frames


def timed(work: Callable[[], int]) -> tuple[int, float, float]:
    """Frames, seconds by the clock, seconds of the processor."""
    wall, cpu = time.perf_counter(), time.process_time()
    frames = work()
    return frames, time.perf_counter() - wall, time.process_time() - cpu


def measure(uri: str, threads: int, repeats: int, meters: tuple[str, ...]) -> dict[str, float]:
    """Frames per second of both sides, and the share of the bare decode rate that the scan reaches."""
    found: dict[str, list[float]] = {"decode_fps": [], "scan_fps": [], "ratio": [], "cpu_ratio": []}
    for _ in range(repeats):
        frames, bare_s, bare_cpu_s = timed(lambda: decode(uri, threads))
        _, full_s, full_cpu_s = timed(lambda: scan(uri, threads, meters))
        found["decode_fps"].append(frames / bare_s)
        found["scan_fps"].append(frames / full_s)
        found["ratio"].append(bare_s / full_s)
        found["cpu_ratio"].append(bare_cpu_s / full_cpu_s)
    return {"frames": frames, **{name: statistics.median(values) for name, values in found.items()}}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("footage")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--limit", type=int, default=0, help="at most so many films")
    parser.add_argument("--meters", default=",".join(METERS))
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    meters = tuple(name for name in asked.meters.split(",") if name)
    films: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        warm = Path(folder) / "warm.mp4"
        write_mp4(warm, [np.full((64, 96, 3), shade, np.uint8) for shade in range(0, 250, 5)], 25)
        scan(str(warm), asked.threads, meters)
    print(f"{'film':40} {'frames':>7} {'decode/s':>9} {'scan/s':>9} {'ratio':>6} {'cpu':>6}")
    for video in ListVideos(root=asked.footage, limit=asked.limit).rows():
        try:
            found = measure(video.uri, asked.threads, asked.repeats, meters)
        except Unreadable as reason:
            print(f"{video.source:40} {reason}")
            continue
        films[video.source] = found
        print(
            f"{video.source[-40:]:40} {found['frames']:7.0f} {found['decode_fps']:9.0f}"
            f" {found['scan_fps']:9.0f} {found['ratio']:6.2f} {found['cpu_ratio']:6.2f}"
        )
    if films:
        ratios = {n: statistics.median(f[n] for f in films.values()) for n in ("ratio", "cpu_ratio")}
        print(f"{'median of the films':67} {ratios['ratio']:6.2f} {ratios['cpu_ratio']:6.2f}")
        if asked.json:
            asked.json.write_text(
                json.dumps({"threads": asked.threads, "meters": meters, **ratios, "films": films}, indent=1)
            )


if __name__ == "__main__":
    main()
