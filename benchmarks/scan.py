"""How fast is the scan, relative to decoding the same files with the same number of threads?

    python -m benchmarks.scan FOOTAGE_DIR [--threads N] [--repeats N] [--json OUT]

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
from stages.media.encoding.arrays import write_mp4
from stages.media.errors import UnreadableFile
from stages.scan.scan_video import METERS, ListedVideo, ScannedVideo, ScanVideo


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


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("footage")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--limit", type=int, default=0, help="maximum number of videos; 0: all")
    parser.add_argument("--meters", default=",".join(METERS))
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
    if films:
        ratios = {n: statistics.median(f[n] for f in films.values()) for n in ("ratio", "cpu_ratio")}
        print(f"{'median of the videos':67} {ratios['ratio']:6.2f} {ratios['cpu_ratio']:6.2f}")
        if args.json:
            args.json.write_text(
                json.dumps({"threads": args.threads, "meters": meters, **ratios, "films": films}, indent=1)
            )


if __name__ == "__main__":
    main()
