"""Measures how well each quality filter finds its defect, and how many good clips it drops.

    python -m benchmarks.filters DIR [--strengths weak,medium] [--filters blur,noise] [--limit N] [--json OUT]

DIR holds videos of one shot each, which count as good. Known defects are planted into each clip, one at a
time; `benchmarks/workloads/planting.py` defines them and their units. All clips are encoded in the same way.
Then the stages of the recipe scan and measure each clip as one shot. Rules and thresholds are the defaults
of the recipe.

auc     probability that a clip with the defect has a worse value than a clip without; 0.5 is chance
recall  share of the clips with the defect that the rule drops at its default threshold
dropped share of the clips with the defect that any rule drops
false   share of the clips without a defect that the rule drops
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.printing import table, write_json
from benchmarks.workloads.planting import DEFECTS, STRENGTHS, plant_defect
from manifests.predicate import evaluate, names_in
from pipeline import Keep, Reject
from stages.ingest.list_videos import ListVideos
from stages.media.uri import local_path
from stages.recipes.filters import DEFAULT_FILTERS, MEASURES, rules
from stages.scan.scan_video import ListedVideo, ScannedVideo, ScanVideo

RULE_OF_DEFECT = {  # the rule that should find a defect
    "blur": "blurred", "darkness": "too dark", "over-exposure": "overexposed", "noise": "noisy",
    "low bit rate": "low bit rate", "freeze": "frozen", "letterbox": "letterboxed",
    "subtitles": "text or logo overlay", "logo": "text or logo overlay", "shake": "shaky",
    "speed-up": "sped up", "slideshow": "slideshow",
}  # fmt: skip
NUMBER_OF_LABEL = {"camera": "camera_shake"}  # the numeric column behind a label that a rule reads
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
    try:
        for stage in MEASURES:
            [answer] = stage.annotate([stage.reads(**{name: whole[name] for name in stage.reads.names()})])
            if isinstance(answer, Reject):
                raise answer
            found |= {name: getattr(answer, name) for name in answer.names()}
    finally:
        for artifact in (scanned.signals, scanned.strip):
            if artifact.file is not None:
                artifact.file.unlink(missing_ok=True)
    return found


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
    """Return the values of the column that the rule reads, negated if a low value is bad.

    For a label, dropped rows are worse than others; among equals, the number behind the label decides.
    """
    [name] = names_in(rule.where)
    if name in NUMBER_OF_LABEL:
        return [
            1e6 * lost + row[NUMBER_OF_LABEL[name]]
            for lost, row in zip(is_dropped(rule, rows), rows, strict=True)
        ]
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
    drops_of = {name: is_dropped(rule, rows) for name, rule in RULES.items()}
    return {
        name: [clip for clip, lost in zip(clips, drops, strict=True) if lost]
        for name, drops in drops_of.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("footage", help="folder of videos of one shot each")
    parser.add_argument("--strengths", default=",".join(STRENGTHS))
    parser.add_argument("--filters", default=",".join(DEFECTS), help="the defects to plant")
    parser.add_argument("--limit", type=int, default=0, help="at most so many clips")
    parser.add_argument("--json", metavar="OUT")
    args = parser.parse_args()
    kinds, strengths = args.filters.split(","), args.strengths.split(",")
    for names, known in ((kinds, DEFECTS), (strengths, STRENGTHS)):
        if not set(names) <= set(known):
            parser.error(
                f"unknown: {', '.join(sorted(set(names) - set(known)))}; choose from {', '.join(known)}"
            )
    listed = ListVideos(root=args.footage, limit=args.limit).rows()
    videos = [path for path in (local_path(video.uri) for video in listed) if path]
    print_results(*run([Path(path) for path in videos], kinds, strengths), args.json)


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
    lost = false_drops(good)
    clips = {clip for names in lost.values() for clip in names}
    share = len(clips) / max(1, len(good))
    print(f"\n{len(good)} clips without a defect; all rules together drop {len(clips)} of them: {share:.1%}")
    for name, names in lost.items():
        if names:
            print(f"  {name}: {', '.join(names)}")
    for name, reasons in unmeasured.items():
        for reason in sorted(set(reasons.values())):
            count = sum(other == reason for other in reasons.values())
            print(f"  not measured, {name}: {count} clips: {reason}")
    print(f"CPU time {time.process_time():.0f} s")
    findings = {"scores": scores, "false_drops": lost, "untouched": good, "unmeasured": unmeasured}
    write_json(json, {**findings, "false_share": share, "cpu_s": time.process_time()})


if __name__ == "__main__":
    main()
