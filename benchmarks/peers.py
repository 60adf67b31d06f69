"""What do shots, clips and signals cost here, and with the tools that a user might choose instead?

    python -m benchmarks.peers DIR [--nemo PYTHON] [--questions Q …] [--repeats N] [--json OUT]

DIR contains videos, each with its ground truth in NAME.json. PYTHON is a Python that has NeMo Curator and
finds the command ffmpeg; without it, NeMo Curator is not measured. Three questions, all on one core:

shots   Where do shots end? PySceneDetect by its command, TransNetV2 by its package, and a scan with only the
        meters that our detectors need.
clips   Spans of 10 s, cut, encoded and written, each with a motion score: NeMo Curator's stages on the CPU,
        without its engine, and the same spans here. VP9 is the only encoder that both NeMo Curator and a
        common ffmpeg support; its clips carry no motion vectors, so none gets a score. x264 is added by a
        patch.
all     Shots, motion and stills: the scan and the detector with default settings, against one tool for each,
        which decodes again: TransNetV2 or PySceneDetect, plus codec motion vectors, plus a strip of stills.

Figures are CPU seconds, including child processes, after the start. The start is reported separately: a new
Python process until its first video. A ratio is peer over ours: per video, the median of the repeats, then
the median over the videos. A method that takes more than a minute for all videos is not repeated.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.workloads.peer_methods import METHODS, START, Measurement, NeMoCurator, cpu_seconds
from benchmarks.workloads.printing import table, write_json
from stages.footage.score import score_boundaries
from stages.footage.truth import Truth, read_truth

GOAL = 5.0
SLOW_S = 60.0
# {question: {row: the methods whose costs are added}}; ours first.
QUESTIONS: dict[str, dict[str, tuple[str, ...]]] = {
    "shots": {
        "ours, fast": ("shots fast",),
        "ours, exact": ("shots exact",),
        "PySceneDetect": ("scenedetect",),
        "TransNetV2": ("transnet",),
    },
    "clips": {
        "ours, motion alone": ("clips motion",),
        "ours, all signals and shots": ("clips all",),
        "NeMo Curator, VP9": ("nemo libvpx-vp9",),
        "NeMo Curator, x264": ("nemo libx264",),
    },
    "all": {
        "ours, fast": ("all fast",),
        "ours, exact": ("all exact",),
        "PySceneDetect + vectors + stills": ("scenedetect", "vectors", "stills"),
        "TransNetV2 + vectors + stills": ("transnet", "vectors", "stills"),
    },
}

Measurements = dict[str, list[Measurement]]  # by video; one per repeat


def measure(
    films: Sequence[Path], selected: set[str], python: str | None, repeats: int
) -> tuple[dict[str, Measurements], dict[str, float]]:
    """Measure each method on each video, and the CPU seconds of its start; every other repeat is reversed."""
    results: dict[str, Measurements] = {}
    starts: dict[str, float] = {}
    nemo = (
        {f"nemo {encoder}": NeMoCurator(python, encoder) for encoder in ("libvpx-vp9", "libx264")}
        if python
        else {}
    )
    for repeat in range(repeats):
        names = [name for name in (*METHODS, *nemo) if name in selected]
        for name in names if repeat % 2 == 0 else reversed(names):
            if sum(measurements[0].cpu_s for measurements in results.get(name, {}).values()) > SLOW_S:
                continue
            if name in nemo:
                starts[name], found = nemo[name](films)
            else:
                starts.setdefault(name, start_s(name))
                method = METHODS[name]()
                found = {film.name: method(film) for film in films}
            for film, measurements in found.items():
                results.setdefault(name, {}).setdefault(film, []).append(measurements)
            print(f"{name}: {sum(t.cpu_s for t in found.values()):.1f} s", file=sys.stderr)
    return results, starts


def start_s(name: str) -> float:
    """Return the CPU seconds of a new Python process, or of the command, until its first video."""
    start = cpu_seconds()
    subprocess.run([sys.executable, "-c", START.format(name=name)], check=True, capture_output=True)
    return cpu_seconds() - start


def summarize(methods: Sequence[Measurements], truth: Mapping[str, Truth]) -> dict[str, Any]:
    """Compute a row of the table: the sum of the methods, per video and in total."""
    films = {
        name: {
            "cpu_s": sum(statistics.median(t.cpu_s for t in method[name]) for method in methods),
            "wall_s": sum(statistics.median(t.wall_s for t in method[name]) for method in methods),
        }
        for name in methods[0]
    }
    first = {name: repeats[0] for name, repeats in methods[0].items()}
    cuts = {name: one.cuts for name, one in first.items() if one.cuts is not None}
    cpu_s, clips = sum(f["cpu_s"] for f in films.values()), sum(t.clips for t in first.values())
    return {
        "films": films,
        "repeats": min(len(measurements) for method in methods for measurements in method.values()),
        "clips": clips,
        "with_motion": sum(t.scored for t in first.values()),
        "megabytes": sum(t.size for t in first.values()) / 1e6,
        "encode_cpu_s": sum(t.encode_s for t in first.values()),
        "f1": score_boundaries(truth, cuts)["f1"] if cuts else None,
        "cpu_s": cpu_s,
        "wall_s": sum(f["wall_s"] for f in films.values()),
        "frames_per_cpu_s": sum(truth[name].frames for name in films) / cpu_s,
        "clips_per_cpu_s": clips / cpu_s,
    }


def ratio(peer: Mapping[str, Any], ours: Mapping[str, Any], cost: str) -> float:
    """Return the cost of a peer over ours: the median over the videos."""
    return statistics.median(f[cost] / ours["films"][name][cost] for name, f in peer["films"].items())


def compare(rows: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """For each of our rows, find the cheapest peer, its cost ratio, and whether the goal is met."""
    ours = {name: line for name, line in rows.items() if name.startswith("ours")}
    peers = {name: line for name, line in rows.items() if name not in ours}
    result: dict[str, Any] = {}
    for name, line in ours.items():
        ratios = {peer: ratio(peers[peer], line, "cpu_s") for peer in peers}
        if ratios:
            best = min(ratios, key=lambda peer: ratios[peer])
            wall = ratio(peers[best], line, "wall_s")
            met = ratios[best] >= GOAL
            result[name] = {"ratios": ratios, "best": best, "ratio": ratios[best], "wall": wall, "met": met}
    return result


def print_table(question: str, rows: Mapping[str, dict[str, Any]], answers: Mapping[str, Any]) -> None:
    head = [
        "start s",
        "cpu s",
        "wall s",
        "frames/s",
        "clips",
        "clips/s",
        "with motion",
        "MB",
        "encode s",
        "F1",
        "runs",
    ]
    cells = [
        [
            name,
            f"{line['start_cpu_s']:.1f}",
            f"{line['cpu_s']:.1f}",
            f"{line['wall_s']:.1f}",
            f"{line['frames_per_cpu_s']:.0f}",
            line["clips"],
            f"{line['clips_per_cpu_s']:.2f}",
            line["with_motion"] if question == "clips" else "–",
            f"{line['megabytes']:.1f}" if line["megabytes"] else "–",
            f"{line['encode_cpu_s']:.1f}" if line["encode_cpu_s"] else "–",
            f"{line['f1']:.3f}" if line["f1"] is not None else "–",
            line["repeats"],
        ]
        for name, line in rows.items()
    ]
    print(f"\n{table([question, *head], cells)}")
    for name, answer in answers.items():
        ratios = ", ".join(f"{peer} {value:.2f}" for peer, value in answer["ratios"].items())
        verdict = "met" if answer["met"] else "not met"
        wall = f"wall time of {answer['best']}: {answer['wall']:.2f}"
        print(f"{name}: CPU time of peers over ours: {ratios}; {wall}")
        print(f"  cheapest peer: {answer['ratio']:.2f} times ours; the goal of {GOAL:.0f} is {verdict}")


def main() -> None:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("folder", metavar="DIR", type=Path)
    parser.add_argument("--nemo", metavar="PYTHON", help="Python that has nemo-curator[video_cpu,cv2]")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--questions", nargs="*", choices=list(QUESTIONS), default=list(QUESTIONS))
    parser.add_argument("--films", type=int, default=0, help="maximum number of videos; 0: all")
    parser.add_argument("--json", metavar="OUT")
    args = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})  # child processes inherit it
    truth = {name: film for name, film in read_truth(args.folder).items() if film.reject is None}
    films = [(args.folder / name).resolve() for name in truth][: args.films or None]
    with tempfile.TemporaryDirectory(prefix="clipmill-peers-") as folder:
        tempfile.tempdir = folder
        selected = {
            method
            for question in args.questions
            for methods in QUESTIONS[question].values()
            for method in methods
        }
        results, starts = measure(films, selected, args.nemo, args.repeats)
    found: dict[str, Any] = {}
    for question in args.questions:
        rows = {
            name: {
                **summarize([results[method] for method in methods], truth),
                "start_cpu_s": sum(starts[method] for method in methods),
            }
            for name, methods in QUESTIONS[question].items()
            if all(method in results for method in methods)
        }
        answers = compare(rows)
        print_table(question, rows, answers)
        found[question] = {"rows": rows, "answers": answers}
    if not args.nemo and "clips" in args.questions:
        print("\nNeMo Curator was not measured: name a Python that has it by --nemo.")
    write_json(args.json, {"goal": GOAL, "questions": found})


if __name__ == "__main__":
    main()
