"""Are lines of speech and marks found over a clip, alone and in films of several shots, and at what cost?

    python -m benchmarks.text DIR [--strengths weak,medium] [--limit N] [--json OUT]

Into the clips of DIR (videos of one shot each, with nothing over them) subtitles and a logo are planted as
`benchmarks/planting.py` says. "alone" measures each clip by itself; "film" joins three of them, so that a
logo stands through three shots, and measures each shot. `MeasureOverlay` looks at how things stay,
`MeasureText` asks the text detector as well.

auc     how often a planted clip has a greater share than an untouched one; 0.5 is chance
moving  the same, of the clips in which four fifths of the structure move
recall  share of the planted clips from `FROM` of the picture on; false: of the untouched
ms      CPU time for a clip, without the scan
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
from benchmarks.planting import DEFECTS, STRENGTHS, Pictures, read
from benchmarks.printing import table, write_json
from stages.ingest.list_videos import ListVideos
from stages.media.encode import write_mp4
from stages.media.uri import local_path
from stages.quality.measure_overlay import Clip, MeasureOverlay, Overlay
from stages.quality.measure_text import MeasureText, Text
from stages.recipes.filters import DEFAULT_FILTERS
from stages.scan.scan_video import Listed, Scanned, ScanVideo

FROM, MOVING = DEFAULT_FILTERS.max_overlay_share, 0.8
KINDS = ("", "subtitles", "logo")
FPS, SIZE = 25, (640, 360)
SHARES = (("MeasureOverlay", "overlay_share"), ("MeasureText", "overlay_text_share"))


def films(videos: Sequence[Path], joined: int) -> Iterator[list[Pictures]]:
    """The pictures of so many clips at a time, all of one size; the rate is taken to be FPS."""
    for k in range(0, len(videos) - joined + 1, joined):
        shots = [read(video)[0] for video in videos[k : k + joined]]
        yield [[cv2.resize(picture, SIZE) for picture in shot] for shot in shots]


def measured(shots: Sequence[Pictures], kind: str, strength: str, target: Path) -> list[dict[str, float]]:
    """The shares of each shot of a film over which something was planted, and the time of each stage."""
    defect, pictures = DEFECTS.get(kind), [picture for shot in shots for picture in shot]
    if defect and defect.plant:
        rng = np.random.default_rng(zlib.crc32(kind.encode()))
        level = defect.levels[STRENGTHS.index(strength)]
        pictures = list(defect.plant(pictures, float(FPS), level, rng))
    write_mp4(target, pictures, FPS, crf=20, preset="veryfast")
    [scanned] = ScanVideo(meters=()).annotate([Listed(uri=str(target))])
    if not isinstance(scanned, Scanned):
        raise scanned
    ends = np.cumsum([0, *map(len, shots)]) / FPS
    stored = {name: getattr(scanned, name) for name in ("strip", "strip_times_s", "strip_offsets")}
    found: list[dict[str, float]] = []
    for start_s, end_s in zip(ends.tolist(), ends[1:].tolist(), strict=False):
        row, said = Clip(**stored, start_s=start_s, end_s=end_s), {}
        for stage in (MeasureOverlay(), TEXT):
            begun = time.process_time()
            [answer] = stage.annotate([row])  # type: ignore[list-item]
            said[type(stage).__name__] = 1000 * (time.process_time() - begun)
            if isinstance(answer, Overlay | Text):
                said |= {name: getattr(answer, name) for name in answer.names()}
        if "overlay_share" in said:
            found.append(said)
    return found


TEXT = MeasureText()


def scored(
    planted: Sequence[dict[str, float]], good: Sequence[dict[str, float]], share: str
) -> dict[str, Any]:
    values, plain = [row[share] for row in planted], [row[share] for row in good]
    moving = [row[share] for row in planted if row["overlay_moved_share"] >= MOVING]
    return {
        "clips": len(planted),
        "auc": auc(plain, values),
        "moving": auc(plain, moving) if moving else float("nan"),
        "recall": statistics.fmean(value >= FROM for value in values),
        "false": statistics.fmean(value >= FROM for value in plain),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", metavar="DIR")
    parser.add_argument("--strengths", default="medium", help="of weak, medium, strong; with commas")
    parser.add_argument("--limit", type=int, help="take only so many clips")
    parser.add_argument("--json", metavar="OUT")
    args = parser.parse_args()
    videos = [Path(local_path(row.uri)) for row in ListVideos(root=args.folder).rows()][: args.limit]
    cv2.setNumThreads(1)
    TEXT.open()
    lines, rows, spent = {}, [], {name: [] for name, _ in SHARES}  # type: ignore[var-annotated]
    with tempfile.TemporaryDirectory(prefix="clipmill-text-") as folder:
        for way, joined in (("alone", 1), ("film", 3)):
            found: dict[tuple[str, str], list[dict[str, float]]] = {}
            for shots in films(videos, joined):
                for what in [("", ""), *((kind, s) for kind in KINDS[1:] for s in args.strengths.split(","))]:
                    found.setdefault(what, []).extend(measured(shots, *what, Path(folder) / "film.mp4"))
            for name, share in SHARES:
                spent[name] += [row[name] for shown in found.values() for row in shown]
                for (kind, strength), planted in found.items():
                    if kind:
                        line = scored(planted, found["", ""], share)
                        lines[f"{kind} {strength} {way} {name}"] = line
                        rows.append([f"{kind}, {strength}, {way}", name, *(_told(v) for v in line.values())])
    print(table(("planted", "by", "clips", "auc", "moving", "recall", "false"), rows))
    cost = {name: statistics.median(times) for name, times in spent.items()}
    print("\nms of a clip: " + ", ".join(f"{name} {ms:.0f}" for name, ms in cost.items()))
    write_json(args.json, {"planted": lines, "ms": cost})


def _told(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.2f}"


if __name__ == "__main__":
    main()
