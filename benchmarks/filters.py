"""Do the filters find what they claim to find, and let good clips pass?

    python -m benchmarks.filters DIR [--strengths weak,medium] [--filters blur,noise] [--limit N] [--json OUT]

Into each clip of DIR (videos of one shot each, taken for good) known defects are planted, one at a time;
`benchmarks/planting.py` says how, and in what units. All are encoded alike, then scanned and measured by
the stages of the recipe, each as one shot. Rules and thresholds are the recipe's own, at their defaults.

auc     how often a planted clip has a worse value than an untouched one; 0.5 is chance
recall  share of the planted clips that the rule drops at its default threshold
dropped share of the planted clips that any of the rules drops
false   share of the untouched clips that the rule drops
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.planting import DEFECTS, STRENGTHS, plant
from benchmarks.printing import table, write_json
from manifests.predicate import evaluate, names_in
from pipeline import Keep, Reject
from stages.ingest.list_videos import ListVideos
from stages.media.uri import local_path
from stages.recipes.filters import DEFAULT_FILTERS, MEASURES, rules
from stages.scan.scan_video import Listed, Scanned, ScanVideo

FINDS = {  # the rule that shall find a defect
    "blur": "blurred", "darkness": "too dark", "over-exposure": "overexposed", "noise": "noisy",
    "low bit rate": "low bit rate", "freeze": "frozen", "letterbox": "letterboxed",
    "subtitles": "written over", "logo": "written over", "shake": "shaky", "speed-up": "sped up",
    "slideshow": "slideshow",
}  # fmt: skip
BEHIND = {"camera": "camera_shake"}  # the number behind a label that a rule reads
RULES = {rule.because: rule for rule in rules(DEFAULT_FILTERS)}

Measured = Mapping[str, Any]


def measure(video: Path) -> dict[str, Any]:
    """All measurements of a video as one shot.

    Raises:
        Reject: the video cannot be scanned, or a measurement has a reason against it.
    """
    [scanned] = ScanVideo().annotate([Listed(uri=str(video))])
    if not isinstance(scanned, Scanned):
        raise scanned
    whole = {name: getattr(scanned, name) for name in scanned.names()}
    frames, length_s = scanned.scanned_frames, scanned.scanned_s
    whole |= {"start_frame": 0, "end_frame": frames, "frames": frames}
    whole |= {"start_s": 0.0, "end_s": length_s, "duration_s": length_s}
    found: dict[str, Any] = {}
    try:
        for stage in MEASURES:
            [said] = stage.annotate([stage.reads(**{name: whole[name] for name in stage.reads.names()})])
            if isinstance(said, Reject):
                raise said
            found |= {name: getattr(said, name) for name in said.names()}
    finally:
        for artifact in (scanned.signals, scanned.strip):
            if artifact.file is not None:
                artifact.file.unlink(missing_ok=True)
    return found


def measured(
    videos: Sequence[Path], planted: Sequence[tuple[str, str]]
) -> dict[tuple[str, str], dict[str, Measured | str]]:
    """For each defect and strength, and each clip: its measurements, or why there are none."""
    found: dict[tuple[str, str], dict[str, Measured | str]] = {what: {} for what in planted}
    with tempfile.TemporaryDirectory(prefix="clipmill-filters-") as folder:
        target = Path(folder) / "planted.mp4"
        for video in videos:
            for kind, strength in planted:
                try:
                    there = plant(video, target, kind, strength)
                    found[kind, strength][video.name] = measure(target) if there else "too short"
                except Reject as reason:
                    found[kind, strength][video.name] = str(reason)
    return found


def dropped(rule: Keep, rows: Sequence[Measured]) -> list[bool]:
    """Whether the rule drops each row."""
    import pyarrow as pa

    return [
        answer is not True for answer in evaluate(rule.where, pa.Table.from_pylist(list(rows))).to_pylist()
    ]


def badness(rule: Keep, rows: Sequence[Measured]) -> list[float]:
    """The column that the rule reads, turned so that more is worse.

    Of a label: what is dropped is worse than what is not, and among these the number behind the label tells.
    """
    [name] = names_in(rule.where)
    if name in BEHIND:
        return [1e6 * lost + row[BEHIND[name]] for lost, row in zip(dropped(rule, rows), rows, strict=True)]
    sign = -1.0 if ">" in rule.where else 1.0
    return [sign * row[name] for row in rows]


def auc(good: Sequence[float], bad: Sequence[float]) -> float:
    """How often one of `bad` is greater than one of `good`; equal ones count half."""
    return statistics.fmean((b > g) + (b == g) / 2 for b in bad for g in good)


def scored(kind: str, planted: Sequence[Measured], good: Sequence[Measured]) -> dict[str, Any]:
    """How well the rule for a defect, and all of them, tell the planted clips from the good ones."""
    rule = RULES[FINDS[kind]]
    return {
        "clips": len(planted),
        "rule": f"{rule.because}: {rule.where}",
        "auc": auc(badness(rule, good), badness(rule, planted)),
        "recall": statistics.fmean(dropped(rule, planted)),
        "dropped": statistics.fmean(
            any(said) for said in zip(*(dropped(r, planted) for r in RULES.values()), strict=True)
        ),
        "false": statistics.fmean(dropped(rule, good)),
    }


def false_drops(named: Mapping[str, Measured]) -> dict[str, list[str]]:
    """The untouched clips that each rule drops."""
    rows = list(named.values())
    said = {name: dropped(rule, rows) for name, rule in RULES.items()}
    return {
        name: [clip for clip, lost in zip(named, drops, strict=True) if lost] for name, drops in said.items()
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
    asked = parser.parse_args()
    kinds, strengths = asked.filters.split(","), asked.strengths.split(",")
    for given, known in ((kinds, DEFECTS), (strengths, STRENGTHS)):
        if not set(given) <= set(known):
            parser.error(
                f"there is no {', '.join(sorted(set(given) - set(known)))}; choose of {', '.join(known)}"
            )
    listed = ListVideos(root=asked.footage, limit=asked.limit).rows()
    videos = [path for path in (local_path(video.uri) for video in listed) if path]
    print_found(*run([Path(path) for path in videos], kinds, strengths), asked.json)


def run(
    videos: Sequence[Path], kinds: Sequence[str], strengths: Sequence[str]
) -> tuple[dict[str, dict[str, Any]], dict[str, Measured], dict[str, dict[str, str]]]:
    """Scores by defect and strength, the good clips by name, and what was not measured, and why."""
    known: dict[tuple[str, str], dict[str, Measured]] = {}
    unmeasured: dict[str, dict[str, str]] = {}
    planted = [("", "medium"), *((kind, strength) for kind in kinds for strength in strengths)]
    for what, answers in measured(videos, planted).items():
        known[what] = {clip: said for clip, said in answers.items() if not isinstance(said, str)}
        name = " ".join(what) if what[0] else "untouched"
        unmeasured[name] = {clip: said for clip, said in answers.items() if isinstance(said, str)}
    good, scores = known.pop(("", "medium")), dict[str, dict[str, Any]]()
    for (kind, strength), bad in known.items():
        if bad and good:
            scores.setdefault(kind, {})[strength] = scored(kind, [*bad.values()], [*good.values()])
    return scores, good, unmeasured


def print_found(
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
    print(f"\n{len(good)} untouched clips, of which all rules together drop {len(clips)}: {share:.1%}")
    for name, names in lost.items():
        if names:
            print(f"  {name}: {', '.join(names)}")
    for name, reasons in unmeasured.items():
        for reason in sorted(set(reasons.values())):
            count = sum(said == reason for said in reasons.values())
            print(f"  not measured, {name}: {count} clips: {reason}")
    print(f"processor time {time.process_time():.0f} s")
    findings = {"scores": scores, "false_drops": lost, "untouched": good, "unmeasured": unmeasured}
    write_json(json, {**findings, "false_share": share, "cpu_s": time.process_time()})


if __name__ == "__main__":
    main()
