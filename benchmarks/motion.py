"""How accurate is the measured motion, and what does it cost per frame? Known cameras over real images.

    python -m benchmarks.motion FOOTAGE_DIR [--limit N] [--cover SHARE] [--clips NAME,…] [--only KIND,…]

Each camera of `cameras.py` films each still image, or with `--clips` those clips of the folder whose own
camera is static. `--cover` adds a foreground object that moves back and forth at 0.3 longer sides/s. The
films are encoded by x264 and measured like any video. Bias is the median of measured over true motion; error
is the 80th percentile of its distance to 1. The cost is the CPU time of the meter per frame; the cost of
OpenCV's DIS flow is printed for comparison between machines.
"""

import argparse
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.workloads.cameras import FPS, Move, add_foreground, load_clips, load_stills, moves, render
from benchmarks.workloads.printing import table, write_json
from manifests import Artifact
from stages.media.decoding.video import open_video
from stages.media.encoding.arrays import write_mp4
from stages.quality.measure_motion import Clip, MeasureMotion, Motion
from stages.scan.meter import FrameView, small_size
from stages.scan.meters import motion as meter
from stages.scan.scan_video import ListedVideo, ScannedVideo, ScanVideo

MEASURED = ("pan", "tilt", "zoom", "roll")
SIGNS = {"pan left": -1, "tilt down": -1, "zoom out": -1, "roll right": -1}


def measure_film(film: Path) -> Motion:
    """Measure the motion of a film that is one clip."""
    [scanned] = ScanVideo(meters=("motion", "repeats")).annotate([ListedVideo(uri=str(film))])
    assert isinstance(scanned, ScannedVideo), scanned
    clip = Clip(
        signals=scanned.signals,
        start_frame=0,
        end_frame=scanned.scanned_frames,
        duration_s=scanned.scanned_s,
    )
    [result] = MeasureMotion().annotate([clip])
    assert isinstance(result, Motion), result
    for artifact in (scanned.signals, scanned.strip):
        _delete(artifact)
    return result


def _delete(artifact: Artifact) -> None:
    if artifact.file is not None:
        artifact.file.unlink()


def measure(move: Move, sources: Mapping[str, Sequence[np.ndarray]], cover: float) -> dict[str, Any]:
    """Measure one camera over all sources."""
    names, results = list(sources), []
    with tempfile.TemporaryDirectory() as folder:
        film = Path(folder, "film.mp4")
        for number, name in enumerate(names):
            images = render(sources[name], move, number)
            if cover:
                over = sources[names[(number + len(names) // 3) % len(names)]][0]
                images = add_foreground(images, over, cover, 0.3)
            write_mp4(film, images, FPS, crf=23, preset="veryfast")
            results.append(measure_film(film))
    found: dict[str, Any] = {
        "camera": move.kind,
        "amount": move.amount,
        "label": move.label,
        "films": len(results),
        "right": sum(one.camera == move.label for one in results),
        "labels": dict(Counter(one.camera for one in results)),
        "object_motion": float(np.median([one.object_motion for one in results])),
        "camera_jitter": float(np.median([one.camera_jitter for one in results])),
    }
    if move.kind in MEASURED:
        true = SIGNS.get(move.label, 1) * move.amount * (0.8 if move.kind == "tilt" else 1.0)
        shares = np.array([getattr(one, f"camera_{move.kind}") for one in results]) / true
        found |= {
            "bias": float(np.median(shares)),
            "error": float(np.percentile(np.abs(shares - 1), 80)),
        }
    return found


def cost(folder: Path, frames: int = 90, rounds: int = 7) -> dict[str, float]:
    """Return the CPU time of the meter per frame and of one DIS call, in µs: the minimum of `rounds`."""
    path = next(p for p in sorted(folder.iterdir()) if p.suffix == ".mp4")
    views = []
    with open_video(str(path)) as video:
        small = small_size(video.coded_width_px, video.coded_height_px)
        for number, frame in enumerate(islice(video.frames(), frames)):
            view = FrameView(frame, number / 30, 1 / 30, small)
            assert view.half_bgr is not None
            views.append(view)
    grays = [cv2.cvtColor(view.half_bgr, cv2.COLOR_BGR2GRAY) for view in views]
    dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
    dis.setFinestScale(1)
    ours, theirs = [], []
    for _ in range(rounds):
        start, motion_meter = time.process_time(), meter.Motion()
        for view in views:
            motion_meter.update(view)
        ours.append((time.process_time() - start) / len(views))
        start = time.process_time()
        for before, now in zip(grays[:-3], grays[3:], strict=True):
            dis.calc(before, now, None)
        theirs.append((time.process_time() - start) / (len(grays) - 3))
    return {"meter_us_per_frame": min(ours) * 1e6, "dis_128_us_per_call": min(theirs) * 1e6}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("footage", type=Path)
    parser.add_argument("--limit", type=int, default=0, help="maximum number of still images; 0: all")
    parser.add_argument("--cover", type=float, default=0.0, help="share of the frame behind a moving object")
    parser.add_argument("--clips", default="", help="names of clips with a static camera")
    parser.add_argument("--only", default="", help="kinds of cameras; empty: all")
    parser.add_argument("--json")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    sources = load_clips(args.footage, args.clips.split(",")) if args.clips else load_stills(args.footage)
    names = list(sources)
    if args.limit:
        sources = {name: sources[name] for name in names[:: max(1, -(-len(names) // args.limit))]}
    selected = [m for m in moves() if not args.only or m.kind in args.only.split(",")]
    found = [measure(move, sources, args.cover) for move in selected]
    spent = cost(args.footage)
    head = ("camera", "amount", "bias", "error", "objects", "jitter", "named", "confused with")
    print(table(head, [_line(one) for one in found]))
    right, all_ = sum(one["right"] for one in found), sum(one["films"] for one in found)
    print(f"{right} of {all_} cameras named")
    print(", ".join(f"{name} {value:.0f}" for name, value in spent.items()))
    write_json(args.json, {"cameras": found, "named": right / all_, **spent})


def _line(one: Mapping[str, Any]) -> tuple[Any, ...]:
    wrong = ", ".join(f"{n} {label}" for label, n in one["labels"].items() if label != one["label"])
    exact = [f"{one[name]:.3f}" if name in one else "" for name in ("bias", "error")]
    rest = [f"{one[name]:.4f}" for name in ("object_motion", "camera_jitter")]
    return one["label"], one["amount"], *exact, *rest, f"{one['right']}/{one['films']}", wrong


if __name__ == "__main__":
    main()
