"""Does the memory of a scan stay the same, however long the video is?

    python -m benchmarks.memory [--minutes N] [--span_s S] [--height PX] [--json OUT]

Draws 20 s of a moving picture, repeats its packets without encoding them again, and scans the file in a
process of its own with one decoder thread. A meter notes with each frame what the process holds (resident
memory) and has held at most, so that the table shows both after each minute of the video asked for.
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

from benchmarks.printing import table, write_json
from stages.media.encode import write_mp4
from stages.media.signals import read_signals
from stages.scan.meter import View
from stages.scan.scan_video import METERS, Listed, Scanned, ScanVideo

FPS, LOOP_S = 25, 20
MARKS_MIN = (1, 2, 5, 10, 20, 30, 60, 120, 180)


class Resident:
    """A meter of the process that scans."""

    columns = {
        "resident_mb": "resident memory of the process [MB]",
        "most_mb": "the most that it has been [MB]",
    }

    def update(self, view: View) -> Sequence[float]:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        most_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6, most_kb * 1024 / 1e6


def pictures(height: int) -> Iterator[np.ndarray]:
    """A camera on a circle over a picture with detail at every scale, uint8 RGB, for one loop."""
    import cv2

    width, rng = height * 16 // 9, np.random.default_rng(1)
    room = height // 4
    size = (width + room, height + room)
    layers = [
        cv2.resize(rng.random((n, n, 3)), size, interpolation=cv2.INTER_CUBIC) for n in (5, 20, 80, 320)
    ]
    world = sum(layers[1:], layers[0])
    world = ((world - world.min()) / (world.max() - world.min()) * 255).astype(np.uint8)
    for k in range(FPS * LOOP_S):
        turn = 2 * np.pi * k / (FPS * LOOP_S)
        x, y = (round(room / 2 * (1 + way)) for way in (np.cos(3 * turn), np.sin(3 * turn)))
        yield world[y : y + height, x : x + width]


def repeated(loop: Path, film: Path, minutes: float) -> None:
    """A film of the packets of a loop, again and again."""
    import av

    with av.open(str(loop)) as source, av.open(str(film), "w") as target:
        there = source.streams.video[0]
        here = target.add_stream_from_template(there)
        packets = [packet for packet in source.demux(there) if packet.size]
        assert there.time_base is not None
        ticks = round(LOOP_S / there.time_base)
        for turn in range(round(minutes * 60 / LOOP_S)):
            for packet in packets:
                again = av.Packet(bytes(packet))
                again.pts, again.dts = (
                    cast(int, packet.pts) + turn * ticks,
                    cast(int, packet.dts) + turn * ticks,
                )
                again.time_base, again.duration = there.time_base, packet.duration
                again.is_keyframe, again.stream = packet.is_keyframe, here
                target.mux(again)


def scan(film: str, span_s: float) -> dict[str, Any]:
    """What this process holds while it scans a film: after each of the marks, and at most."""
    stage = ScanVideo(span_s=span_s, meters=(*METERS, f"{__name__}:Resident"))
    began = time.process_time()
    [scanned] = stage.annotate([Listed(uri=film)])
    took_s = time.process_time() - began
    most_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    assert isinstance(scanned, Scanned), scanned
    found = read_signals(scanned.signals, ["time_s", "resident_mb", "most_mb"])
    marks = [m for m in MARKS_MIN if m * 60 <= scanned.scanned_s]
    at = {m: int(np.searchsorted(found["time_s"], m * 60)) - 1 for m in marks}
    for artifact in (scanned.signals, scanned.strip):
        assert artifact.file is not None
        artifact.file.unlink()
    return {
        "frames": scanned.scanned_frames,
        "cpu_s": took_s,
        "most_mb": most_mb,
        "after": {
            m: {name: float(found[name][k]) for name in ("resident_mb", "most_mb")} for m, k in at.items()
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--span_s", type=float, default=0, help="of the pieces; 0 scans the film in one")
    parser.add_argument("--height", type=int, default=1080)
    parser.add_argument("--json")
    parser.add_argument("--film", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.film:
        print(json.dumps(scan(asked.film, asked.span_s)))
        return
    with tempfile.TemporaryDirectory(prefix="clipmill-") as folder:
        loop, film = Path(folder) / "loop.mp4", Path(folder) / "film.mp4"
        write_mp4(loop, pictures(asked.height), FPS, preset="veryfast", crf=26, keyint=100)
        repeated(loop, film, asked.minutes)
        size_mb = film.stat().st_size / 1e6
        again = [sys.executable, "-m", "benchmarks.memory", "--film", film, "--span_s", str(asked.span_s)]
        found = json.loads(subprocess.run(again, check=True, stdout=subprocess.PIPE, text=True).stdout)
    print(f"{asked.minutes:g} min at {asked.height} lines, {size_mb:.0f} MB, {found['frames']} frames")
    rows = [
        [f"after {m} min", *(f"{held[n]:.0f}" for n in ("resident_mb", "most_mb"))]
        for m, held in found["after"].items()
    ]
    rows.append(["when all is done", "", f"{found['most_mb']:.0f}"])
    print(table(["video", "resident MB", "most MB"], rows))
    print(f"{found['cpu_s'] / found['frames'] * 1e3:.1f} ms of processor time a frame")
    write_json(asked.json, {"minutes": asked.minutes, "height": asked.height, "film_mb": size_mb, **found})


if __name__ == "__main__":
    main()
