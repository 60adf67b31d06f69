"""Measures how well subtitles and logos are found, in single shots and in films of three shots, and the cost.

    python -m benchmarks.text DIR [--strengths weak,medium] [--limit N] [--json OUT]

DIR holds videos of one shot each, without overlays. Subtitles and a logo are planted into them, as
`benchmarks/workloads/planting.py` defines. "alone" measures each clip by itself. "film" joins three clips, so
a logo stays over three shots, and measures each shot. `MeasureOverlay` finds structure that rests;
`MeasureText` also uses a text detector.

auc     probability that a clip with the overlay has a larger share than a clip without; 0.5 is chance
moving  the same, for clips in which at least 0.8 of the structure moves
recall  share of the clips with the overlay at or above the default max_overlay_share; false: of those without
ms      CPU time per clip, without the scan
"""

import argparse
import statistics
import tempfile
import time
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.filters import auc
from benchmarks.workloads.planting import DEFECTS, STRENGTHS, Images, read_clip
from benchmarks.workloads.printing import table, write_json
from stages.ingest.list_videos import ListVideos
from stages.media.encoding.arrays import write_mp4
from stages.media.uri import local_path
from stages.quality.measure_overlay import Clip, MeasureOverlay, Overlay
from stages.quality.measure_text import MeasureText, Text
from stages.recipes.filters import DEFAULT_FILTERS
from stages.scan.scan_video import ListedVideo, ScannedVideo, ScanVideo

MAX_SHARE, MIN_MOVING = DEFAULT_FILTERS.max_overlay_share, 0.8
KINDS = ("", "subtitles", "logo")
FPS, SIZE = 25, (640, 360)
SHARES = (("MeasureOverlay", "overlay_share"), ("MeasureText", "overlay_text_share"))


def films(videos: Sequence[Path], joined: int) -> Iterator[list[Images]]:
    """Yield the images of `joined` clips at a time, resized to SIZE; the frame rate is taken to be FPS."""
    for k in range(0, len(videos) - joined + 1, joined):
        shots = [read_clip(video)[0] for video in videos[k : k + joined]]
        yield [[cv2.resize(image, SIZE) for image in shot] for shot in shots]


def measure(shots: Sequence[Images], kind: str, strength: str, target: Path) -> list[dict[str, float]]:
    """Plant an overlay over a film; return for each shot the shares and the CPU time of each stage in ms."""
    defect, images = DEFECTS.get(kind), [image for shot in shots for image in shot]
    if defect and defect.plant:
        rng = np.random.default_rng(zlib.crc32(kind.encode()))
        level = defect.levels[STRENGTHS.index(strength)]
        images = list(defect.plant(images, float(FPS), level, rng))
    write_mp4(target, images, FPS, crf=20, preset="veryfast")
    [scanned] = ScanVideo(meters=()).annotate([ListedVideo(uri=str(target))])
    if not isinstance(scanned, ScannedVideo):
        raise scanned
    ends = np.cumsum([0, *map(len, shots)]) / FPS
    stored = {name: getattr(scanned, name) for name in ("strip", "strip_times_s", "strip_offsets")}
    found: list[dict[str, float]] = []
    for start_s, end_s in zip(ends.tolist(), ends[1:].tolist(), strict=False):
        row, values = Clip(**stored, start_s=start_s, end_s=end_s), {}
        for stage in (MeasureOverlay(), TEXT):
            start = time.process_time()
            [answer] = stage.annotate([row])  # type: ignore[list-item]
            values[type(stage).__name__] = 1000 * (time.process_time() - start)
            if isinstance(answer, Overlay | Text):
                values |= {name: getattr(answer, name) for name in answer.names()}
        if "overlay_share" in values:
            found.append(values)
    return found


TEXT = MeasureText()


def score(
    planted: Sequence[dict[str, float]], good: Sequence[dict[str, float]], share: str
) -> dict[str, Any]:
    values, clean = [row[share] for row in planted], [row[share] for row in good]
    moving = [row[share] for row in planted if row["moving_area_share"] >= MIN_MOVING]
    return {
        "clips": len(planted),
        "auc": auc(clean, values),
        "moving": auc(clean, moving) if moving else float("nan"),
        "recall": statistics.fmean(value >= MAX_SHARE for value in values),
        "false": statistics.fmean(value >= MAX_SHARE for value in clean),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", metavar="DIR")
    parser.add_argument("--strengths", default="medium", help="weak, medium, strong; separated by commas")
    parser.add_argument("--limit", type=int, help="maximum number of clips")
    parser.add_argument("--json", metavar="OUT")
    args = parser.parse_args()
    videos = [Path(local_path(row.uri)) for row in ListVideos(root=args.folder).rows()][: args.limit]
    cv2.setNumThreads(1)
    TEXT.open()
    lines, rows, spent = {}, [], {name: [] for name, _ in SHARES}  # type: ignore[var-annotated]
    with tempfile.TemporaryDirectory(prefix="clipmill-text-") as folder:
        for mode, joined in (("alone", 1), ("film", 3)):
            found: dict[tuple[str, str], list[dict[str, float]]] = {}
            for shots in films(videos, joined):
                for overlay in [
                    ("", ""),
                    *((kind, s) for kind in KINDS[1:] for s in args.strengths.split(",")),
                ]:
                    found.setdefault(overlay, []).extend(measure(shots, *overlay, Path(folder) / "film.mp4"))
            for name, share in SHARES:
                spent[name] += [row[name] for shots in found.values() for row in shots]
                for (kind, strength), planted in found.items():
                    if kind:
                        line = score(planted, found["", ""], share)
                        lines[f"{kind} {strength} {mode} {name}"] = line
                        rows.append(
                            [f"{kind}, {strength}, {mode}", name, *(_format(v) for v in line.values())]
                        )
    print(table(("overlay", "stage", "clips", "auc", "moving", "recall", "false"), rows))
    cost = {name: statistics.median(times) for name, times in spent.items()}
    print("\nms per clip: " + ", ".join(f"{name} {ms:.0f}" for name, ms in cost.items()))
    write_json(args.json, {"planted": lines, "ms": cost})


def _format(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.2f}"


if __name__ == "__main__":
    main()
