"""How right is the motion that is measured, and what does it cost a frame? Known cameras over real pictures.

    python -m benchmarks.motion FOOTAGE_DIR [--limit N] [--cover SHARE] [--clips NAME,…] [--only KIND,…]

Each camera of `cameras.py` films each still, or with `--clips` those clips of the folder whose own camera
stands still; `--cover` lays a thing before it that goes to and fro at 0.3 longer sides/s. The films are coded
by x264 and measured as any. Bias is the median of measured over true, error the 80th percentile of how far
that is from 1. The cost is the meter's processor time in a frame; OpenCV's DIS stands beside it, since
machines differ.
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

from benchmarks.cameras import FPS, Move, covered, filmed, moves, running, stills
from benchmarks.printing import table, write_json
from manifests import Artifact
from stages.media.decode import open_video
from stages.media.encode import write_mp4
from stages.quality.measure_motion import Clip, MeasureMotion, Motion
from stages.scan.meter import View, small_size
from stages.scan.meters import motion as meter
from stages.scan.scan_video import Listed, Scanned, ScanVideo

MEASURED = ("pan", "tilt", "zoom", "roll")
WAYS = {"pan left": -1, "tilt down": -1, "zoom out": -1, "roll right": -1}


def measured(film: Path) -> Motion:
    """What the stages say of a film, all of which is one clip."""
    [scanned] = ScanVideo(meters=("motion",)).annotate([Listed(uri=str(film))])
    assert isinstance(scanned, Scanned), scanned
    [said] = MeasureMotion().annotate([Clip(signals=scanned.signals, start_frame=0, end_frame=10**6)])
    assert isinstance(said, Motion), said
    for artifact in (scanned.signals, scanned.strip):
        _drop(artifact)
    return said


def _drop(artifact: Artifact) -> None:
    if artifact.file is not None:
        artifact.file.unlink()


def measure(move: Move, sources: Mapping[str, Sequence[np.ndarray]], cover: float) -> dict[str, Any]:
    """One camera over all sources."""
    names, said = list(sources), []
    with tempfile.TemporaryDirectory() as folder:
        film = Path(folder, "film.mp4")
        for number, name in enumerate(names):
            pictures = filmed(sources[name], move, number)
            if cover:
                over = sources[names[(number + len(names) // 3) % len(names)]][0]
                pictures = covered(pictures, over, cover, 0.3)
            write_mp4(film, pictures, FPS, crf=23, preset="veryfast")
            said.append(measured(film))
    found: dict[str, Any] = {
        "camera": move.kind,
        "amount": move.amount,
        "label": move.label,
        "films": len(said),
        "right": sum(one.camera == move.label for one in said),
        "labels": dict(Counter(one.camera for one in said)),
        "object_motion": float(np.median([one.object_motion for one in said])),
        "camera_shake": float(np.median([one.camera_shake for one in said])),
    }
    if move.kind in MEASURED:
        true = WAYS.get(move.label, 1) * move.amount * (0.8 if move.kind == "tilt" else 1.0)
        shares = np.array([getattr(one, f"camera_{move.kind}") for one in said]) / true
        found |= {
            "bias": float(np.median(shares)),
            "error": float(np.percentile(np.abs(shares - 1), 80)),
        }
    return found


def cost(folder: Path, frames: int = 90, rounds: int = 7) -> dict[str, float]:
    """Processor time of the meter in a frame, and of one call of DIS, in us; the least of some rounds."""
    path = next(p for p in sorted(folder.iterdir()) if p.suffix == ".mp4")
    views = []
    with open_video(str(path)) as video:
        small = small_size(video.coded_width_px, video.coded_height_px)
        for number, frame in enumerate(islice(video.frames(), frames)):
            view = View(frame, number / 30, 1 / 30, small)
            assert view.half is not None
            views.append(view)
    grays = [cv2.cvtColor(view.half, cv2.COLOR_BGR2GRAY) for view in views]
    dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
    dis.setFinestScale(1)
    ours, theirs = [], []
    for _ in range(rounds):
        begun, watched = time.process_time(), meter.Motion()
        for view in views:
            watched.update(view)
        ours.append((time.process_time() - begun) / len(views))
        begun = time.process_time()
        for before, now in zip(grays[:-3], grays[3:], strict=True):
            dis.calc(before, now, None)
        theirs.append((time.process_time() - begun) / (len(grays) - 3))
    return {"meter_us_per_frame": min(ours) * 1e6, "dis_128_us_per_call": min(theirs) * 1e6}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("footage", type=Path)
    parser.add_argument("--limit", type=int, default=0, help="at most so many stills")
    parser.add_argument("--cover", type=float, default=0.0, help="share of the picture under a moving thing")
    parser.add_argument("--clips", default="", help="clips whose camera stands still, by name")
    parser.add_argument("--only", default="", help="kinds of cameras")
    parser.add_argument("--json")
    asked = parser.parse_args()
    cv2.setNumThreads(1)
    sources = running(asked.footage, asked.clips.split(",")) if asked.clips else stills(asked.footage)
    names = list(sources)
    if asked.limit:
        sources = {name: sources[name] for name in names[:: max(1, -(-len(names) // asked.limit))]}
    wanted = [m for m in moves() if not asked.only or m.kind in asked.only.split(",")]
    found = [measure(move, sources, asked.cover) for move in wanted]
    spent = cost(asked.footage)
    head = ("camera", "amount", "bias", "error", "objects", "shake", "named", "taken for")
    print(table(head, [_line(one) for one in found]))
    right, all_ = sum(one["right"] for one in found), sum(one["films"] for one in found)
    print(f"{right} of {all_} cameras named")
    print(", ".join(f"{name} {value:.0f}" for name, value in spent.items()))
    write_json(asked.json, {"cameras": found, "named": right / all_, **spent})


def _line(one: Mapping[str, Any]) -> tuple[Any, ...]:
    wrong = ", ".join(f"{n} {label}" for label, n in one["labels"].items() if label != one["label"])
    exact = [f"{one[name]:.3f}" if name in one else "" for name in ("bias", "error")]
    rest = [f"{one[name]:.4f}" for name in ("object_motion", "camera_shake")]
    return one["label"], one["amount"], *exact, *rest, f"{one['right']}/{one['films']}", wrong


if __name__ == "__main__":
    main()
