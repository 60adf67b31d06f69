"""Measures how well each quality filter finds its defect, and how many good clips it drops.

    python -m benchmarks.filters DIR [--truth FILE] [--strengths weak,medium] [--filters blur,noise] …

DIR holds videos of one shot each. They count as good, except those that --truth names: a CSV file with the
columns `clip` (name of the file) and `defects` (what the clip has, by eye). The default table,
`benchmarks/workloads/known_defects.csv`, is of the project's test footage. Run development and new footage
separately.

Each good clip is measured as it is, which shows faults of its codec. Then known defects are planted into it,
one at a time; `benchmarks/workloads/planting.py` defines them and their units. These clips, and one without a
defect, are encoded in the same way. The stages of the recipe scan and measure each clip as one shot. Rules
and thresholds are the defaults of the recipe. `--filters ""` measures the original files only.

auc     probability that a clip with the defect has a worse value than a clip without; 0.5 is chance
recall  share of the clips with the defect that the rule drops at its default threshold
dropped share of the clips with the defect that any rule drops
false   share of the clips without a defect that the rule drops
"""

import argparse
import csv
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.workloads.planting import DEFECTS, STRENGTHS, plant_defect
from benchmarks.workloads.printing import table, write_json
from manifests.predicate import evaluate, names_in
from pipeline import Annotate, Keep, Reject
from stages.ingest.list_videos import ListVideos
from stages.media.uri import local_path
from stages.recipes.filters import DEFAULT_FILTERS, MEASURES, rules
from stages.scan.scan_video import ListedVideo, ScannedVideo, ScanVideo

RULE_OF_DEFECT = {  # the rule that should find a defect
    "blur": "blurred", "darkness": "too dark", "over-exposure": "overexposed", "noise": "noisy",
    "low bit rate": "low bit rate", "freeze": "frozen", "letterbox": "letterboxed",
    "subtitles": "text or logo overlay", "logo": "text or logo overlay", "shake": "shaky",
    "slideshow": "slideshow",
}  # fmt: skip
KNOWN_DEFECTS = Path(__file__).parent / "workloads" / "known_defects.csv"
RULES = {rule.because: rule for rule in rules(DEFAULT_FILTERS)}

Measured = Mapping[str, Any]


def measure(video: Path) -> dict[str, Any]:
    """Measure a video as one shot with all stages of the recipe.

    Raises:
        Reject: the video cannot be scanned, or a stage rejects it.
    """
    [scanned] = ScanVideo().annotate([ListedVideo(uri=str(video))])
    if not isinstance(scanned, ScannedVideo):
        raise scanned
    whole = {name: getattr(scanned, name) for name in scanned.names()}
    frames, length_s = scanned.scanned_frames, scanned.scanned_s
    whole |= {"start_frame": 0, "end_frame": frames, "frames": frames}
    whole |= {"start_s": 0.0, "end_s": length_s, "duration_s": length_s}
    found: dict[str, Any] = {}
    measures: Sequence[Annotate[Any, Any]] = MEASURES
    try:
        for stage in measures:
            [answer] = stage.annotate([stage.reads(**{name: whole[name] for name in stage.reads.names()})])
            if isinstance(answer, Exception):
                raise answer
            found |= {name: getattr(answer, name) for name in answer.names()}
    finally:
        for artifact in (scanned.signals, scanned.strip):
            if artifact.file is not None:
                artifact.file.unlink(missing_ok=True)
    return found


def read_truth(table: Path) -> dict[str, str]:
    """Return the defects of each clip that is not good, by the name of its file."""
    with table.open(newline="", encoding="utf-8") as file:
        return {row["clip"]: row["defects"] for row in csv.DictReader(file)}


def measure_originals(videos: Sequence[Path]) -> tuple[dict[str, Measured], dict[str, str]]:
    """Return the measurements of the files as they are, and the reasons where there are none."""
    found: dict[str, Measured] = {}
    reasons: dict[str, str] = {}
    for video in videos:
        try:
            found[video.name] = measure(video)
        except Reject as reason:
            reasons[video.name] = str(reason)
    return found, reasons


def measure_planted(
    videos: Sequence[Path], planted: Sequence[tuple[str, str]]
) -> dict[tuple[str, str], dict[str, Measured | str]]:
    """Return for each defect, strength and clip the measurements, or the reason why there are none."""
    found: dict[tuple[str, str], dict[str, Measured | str]] = {defect: {} for defect in planted}
    with tempfile.TemporaryDirectory(prefix="clipmill-filters-") as folder:
        target = Path(folder) / "planted.mp4"
        for video in videos:
            for kind, strength in planted:
                try:
                    is_written = plant_defect(video, target, kind, strength)
                    found[kind, strength][video.name] = measure(target) if is_written else "too short"
                except Reject as reason:
                    found[kind, strength][video.name] = str(reason)
    return found


def is_dropped(rule: Keep, rows: Sequence[Measured]) -> list[bool]:
    """Return for each row whether the rule drops it."""
    import pyarrow as pa

    return [
        answer is not True for answer in evaluate(rule.where, pa.Table.from_pylist(list(rows))).to_pylist()
    ]


def badness(rule: Keep, rows: Sequence[Measured]) -> list[float]:
    """Return the values of the column that the rule reads, negated if a low value is bad."""
    [name] = names_in(rule.where)
    sign = -1.0 if ">" in rule.where else 1.0
    return [sign * row[name] for row in rows]


def auc(good: Sequence[float], bad: Sequence[float]) -> float:
    """Return the probability that one of `bad` exceeds one of `good`; equal values count half."""
    return statistics.fmean((b > g) + (b == g) / 2 for b in bad for g in good)


def score(kind: str, planted: Sequence[Measured], good: Sequence[Measured]) -> dict[str, Any]:
    """Return how well the rule of a defect, and all rules, separate clips with the defect from good ones."""
    rule = RULES[RULE_OF_DEFECT[kind]]
    return {
        "clips": len(planted),
        "rule": f"{rule.because}: {rule.where}",
        "auc": auc(badness(rule, good), badness(rule, planted)),
        "recall": statistics.fmean(is_dropped(rule, planted)),
        "dropped": statistics.fmean(
            any(drops) for drops in zip(*(is_dropped(r, planted) for r in RULES.values()), strict=True)
        ),
        "false": statistics.fmean(is_dropped(rule, good)),
    }


def false_drops(clips: Mapping[str, Measured]) -> dict[str, list[str]]:
    """Return the clips without a defect that each rule drops."""
    rows = list(clips.values())
    drops_of = {name: is_dropped(rule, rows) if rows else [] for name, rule in RULES.items()}
    return {
        name: [clip for clip, lost in zip(clips, drops, strict=True) if lost]
        for name, drops in drops_of.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("footage", help="folder of videos of one shot each")
    parser.add_argument(
        "--truth", metavar="FILE", default=str(KNOWN_DEFECTS), help="CSV file: clips that are not good"
    )
    parser.add_argument("--strengths", default=",".join(STRENGTHS))
    parser.add_argument("--filters", default=",".join(DEFECTS), help="the defects to plant")
    parser.add_argument("--limit", type=int, default=0, help="at most so many clips")
    parser.add_argument("--json", metavar="OUT")
    args = parser.parse_args()
    kinds, strengths = [kind for kind in args.filters.split(",") if kind], args.strengths.split(",")
    for names, known in ((kinds, DEFECTS), (strengths, STRENGTHS)):
        if not set(names) <= set(known):
            parser.error(
                f"unknown: {', '.join(sorted(set(names) - set(known)))}; choose from {', '.join(known)}"
            )
    listed = ListVideos(root=args.footage, limit=args.limit).rows()
    paths = [Path(path) for path in (local_path(video.uri) for video in listed) if path]
    truth = read_truth(Path(args.truth))
    videos = [path for path in paths if path.name not in truth]
    originals, reasons = measure_originals(videos)
    scores, good, unmeasured = run(videos, kinds, strengths) if kinds else ({}, {}, {})
    print_results(scores, good, {"original": reasons, **unmeasured}, originals, args.json)


def run(
    videos: Sequence[Path], kinds: Sequence[str], strengths: Sequence[str]
) -> tuple[dict[str, dict[str, Any]], dict[str, Measured], dict[str, dict[str, str]]]:
    """Return scores by defect and strength, the good clips by name, and reasons of clips not measured."""
    known: dict[tuple[str, str], dict[str, Measured]] = {}
    unmeasured: dict[str, dict[str, str]] = {}
    planted = [("", "medium"), *((kind, strength) for kind in kinds for strength in strengths)]
    for defect, answers in measure_planted(videos, planted).items():
        known[defect] = {clip: found for clip, found in answers.items() if not isinstance(found, str)}
        name = " ".join(defect) if defect[0] else "untouched"
        unmeasured[name] = {clip: reason for clip, reason in answers.items() if isinstance(reason, str)}
    good, scores = known.pop(("", "medium")), dict[str, dict[str, Any]]()
    for (kind, strength), bad in known.items():
        if bad and good:
            scores.setdefault(kind, {})[strength] = score(kind, [*bad.values()], [*good.values()])
    return scores, good, unmeasured


def print_results(
    scores: Mapping[str, Mapping[str, Any]],
    good: Mapping[str, Measured],
    unmeasured: Mapping[str, Mapping[str, str]],
    originals: Mapping[str, Measured],
    json: str | None,
) -> None:
    rows = []
    for kind, levels in scores.items():
        for strength, found in levels.items():
            level = DEFECTS[kind].levels[STRENGTHS.index(strength)]
            numbers = [f"{found[name]:.3f}" for name in ("auc", "recall", "dropped", "false")]
            rows.append(
                [kind, strength, f"{level:g} {DEFECTS[kind].unit}", found["clips"], *numbers, found["rule"]]
            )
    print(table(["defect", "strength", "level", "clips", "auc", "recall", "dropped", "false", "rule"], rows))
    lost: dict[str, dict[str, list[str]]] = {}
    for kind, clips in (("original files", originals), ("re-encoded clips", good)):
        lost[kind] = false_drops(clips)
        dropped = {clip for names in lost[kind].values() for clip in names}
        share = len(dropped) / max(1, len(clips))
        print(f"\n{len(clips)} {kind} without a defect; all rules drop {len(dropped)} of them: {share:.1%}")
        for name, names in lost[kind].items():
            if names:
                print(f"  {name}: {', '.join(names)}")
    for name, reasons in unmeasured.items():
        for reason in sorted(set(reasons.values())):
            count = sum(other == reason for other in reasons.values())
            print(f"  not measured, {name}: {count} clips: {reason}")
    print(f"CPU time {time.process_time():.0f} s")
    findings = {"scores": scores, "false_drops": lost, "untouched": good, "unmeasured": unmeasured}
    write_json(json, {**findings, "originals": originals, "cpu_s": time.process_time()})


if __name__ == "__main__":
    main()
