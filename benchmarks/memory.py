"""Measures whether the memory of a scan is independent of the length of the video.

    python -m benchmarks.memory [--minutes N] [--span_s S] [--height PX] [--json OUT]

Encodes 20 s of synthetic motion, repeats the packets without encoding them again, and scans the file in a
new process with one decoder thread. A meter records the current and the peak resident memory of the process
at each frame. The table shows both after each of some minutes of the video.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from benchmarks.workloads.printing import table, write_json
from stages.media.encoding.arrays import write_mp4
from stages.media.signals import read_signals
from stages.scan.meter import FrameView
from stages.scan.scan_video import METERS, ListedVideo, ScannedVideo, ScanVideo

FPS, LOOP_S = 25, 20
REPORT_AT_MIN = (1, 2, 5, 10, 20, 30, 60, 120, 180)


class Resident:
    """A meter that records the memory of the scanning process."""

    columns = {
        "resident_mb": "resident memory of the process [MB]",
        "peak_mb": "peak resident memory of the process [MB]",
    }

    def update(self, view: FrameView) -> Sequence[float]:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        peak_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6, peak_kb * 1024 / 1e6


def images(height: int) -> Iterator[np.ndarray]:
    """One loop of a camera that circles over an image with detail at every scale: uint8 RGB [h w 3]."""
    import cv2

    width, rng = height * 16 // 9, np.random.default_rng(1)
    margin = height // 4
    size = (width + margin, height + margin)
    layers = [
        cv2.resize(rng.random((n, n, 3)), size, interpolation=cv2.INTER_CUBIC) for n in (5, 20, 80, 320)
    ]
    world = sum(layers[1:], layers[0])
    world = ((world - world.min()) / (world.max() - world.min()) * 255).astype(np.uint8)
    for k in range(FPS * LOOP_S):
        angle = 2 * np.pi * k / (FPS * LOOP_S)
        x, y = (round(margin / 2 * (1 + offset)) for offset in (np.cos(3 * angle), np.sin(3 * angle)))
        yield world[y : y + height, x : x + width]


def repeat_packets(loop: Path, video: Path, minutes: float) -> None:
    """Write a video that repeats the packets of `loop`."""
    import av

    with av.open(str(loop)) as source, av.open(str(video), "w") as target:
        source_stream = source.streams.video[0]
        stream = target.add_stream_from_template(source_stream)
        packets = [packet for packet in source.demux(source_stream) if packet.size]
        assert source_stream.time_base is not None
        ticks = round(LOOP_S / source_stream.time_base)
        for number in range(round(minutes * 60 / LOOP_S)):
            for packet in packets:
                copy = av.Packet(bytes(packet))
                copy.pts, copy.dts = (
                    cast(int, packet.pts) + number * ticks,
                    cast(int, packet.dts) + number * ticks,
                )
                copy.time_base, copy.duration = source_stream.time_base, packet.duration
                copy.is_keyframe, copy.stream = packet.is_keyframe, stream
                target.mux(copy)


def scan(video: str, span_s: float) -> dict[str, Any]:
    """Scan a video. Returns the memory of this process after some minutes of the video, and its peak."""
    stage = ScanVideo(span_s=span_s, meters=(*METERS, f"{__name__}:Resident"))
    started = time.process_time()
    [scanned] = stage.annotate([ListedVideo(uri=video)])
    cpu_s = time.process_time() - started
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    assert isinstance(scanned, ScannedVideo), scanned
    found = read_signals(scanned.signals, ["time_s", "resident_mb", "peak_mb"])
    minutes = [m for m in REPORT_AT_MIN if m * 60 <= scanned.scanned_s]
    at = {m: int(np.searchsorted(found["time_s"], m * 60)) - 1 for m in minutes}
    for artifact in (scanned.signals, scanned.strip):
        assert artifact.file is not None
        artifact.file.unlink()
    return {
        "frames": scanned.scanned_frames,
        "cpu_s": cpu_s,
        "peak_mb": peak_mb,
        "after": {
            m: {name: float(found[name][k]) for name in ("resident_mb", "peak_mb")} for m, k in at.items()
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument(
        "--span_s", type=float, default=0, help="seconds of video per piece; 0 scans it in one piece"
    )
    parser.add_argument("--height", type=int, default=1080)
    parser.add_argument("--json")
    parser.add_argument("--video", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.video:
        print(json.dumps(scan(args.video, args.span_s)))
        return
    with tempfile.TemporaryDirectory(prefix="clipmill-") as folder:
        loop, video = Path(folder) / "loop.mp4", Path(folder) / "video.mp4"
        write_mp4(loop, images(args.height), FPS, preset="veryfast", crf=26, keyint=100)
        repeat_packets(loop, video, args.minutes)
        size_mb = video.stat().st_size / 1e6
        command = [sys.executable, "-m", "benchmarks.memory", "--video", video, "--span_s", str(args.span_s)]
        found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    print(f"{args.minutes:g} min, {args.height} px high, {size_mb:.0f} MB, {found['frames']} frames")
    rows = [
        [f"after {m} min", *(f"{memory[n]:.0f}" for n in ("resident_mb", "peak_mb"))]
        for m, memory in found["after"].items()
    ]
    rows.append(["at the end", "", f"{found['peak_mb']:.0f}"])
    print(table(["video", "resident MB", "peak MB"], rows))
    print(f"{found['cpu_s'] / found['frames'] * 1e3:.1f} ms of CPU time per frame")
    write_json(args.json, {"minutes": args.minutes, "height": args.height, "video_mb": size_mb, **found})


if __name__ == "__main__":
    main()
