"""How much do shots, clips and signals cost here, and with what a user might pick instead?

    python -m benchmarks.peers DIR [--nemo PYTHON] [--questions Q …] [--repeats N] [--json OUT]

DIR holds films, each with its truth in NAME.json. PYTHON is one that has NeMo Curator and finds the command
ffmpeg; without it, NeMo Curator is not measured. Three questions, all on one core:

shots   where do shots end? PySceneDetect by its command, TransNetV2 by its package, and the scan with only
        what the detectors here need.
clips   spans of 10 s, cut, encoded and written, each with a measure of its motion: NeMo Curator's stages on
        CPU, without its engine, and the same spans here. VP9 is the only encoder that both NeMo Curator and a
        usual ffmpeg allow; its clips carry no motion vectors, so none gets a score. Its x264 is patched in.
all     shots, motion, stills: the scan and the detector at their defaults, against one tool for each, which
        decodes again: TransNetV2 or PySceneDetect, plus codec motion vectors, plus a strip of stills.

Figures are processor seconds, with those of processes waited for, beyond the start, which stands apart: a
fresh Python until its first film. A ratio is theirs over ours, of each film, the median of the repeats; of
these the median over the films. A way that takes over a minute for all films is not repeated.
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

from benchmarks.peers_ways import START, WAYS, NeMo, Taken, processor_s
from benchmarks.printing import table, write_json
from stages.footage.score import score_boundaries
from stages.footage.truth import Truth, read_truth

GOAL = 5.0
SLOW_S = 60.0
# Question: {what: the ways whose costs it adds up}; ours first.
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

Films = dict[str, list[Taken]]  # by name; one for each repeat


def measure(
    films: Sequence[Path], wanted: set[str], python: str | None, repeats: int
) -> tuple[dict[str, Films], dict[str, float]]:
    """What each way took for each film, and the processor seconds of its start.

    Every other repeat goes backwards.
    """
    took: dict[str, Films] = {}
    starts: dict[str, float] = {}
    nemo = (
        {f"nemo {encoder}": NeMo(python, encoder) for encoder in ("libvpx-vp9", "libx264")} if python else {}
    )
    for repeat in range(repeats):
        names = [name for name in (*WAYS, *nemo) if name in wanted]
        for name in names if repeat % 2 == 0 else reversed(names):
            if sum(taken[0].cpu_s for taken in took.get(name, {}).values()) > SLOW_S:
                continue
            if name in nemo:
                starts[name], found = nemo[name](films)
            else:
                starts.setdefault(name, start_s(name))
                way = WAYS[name]()
                found = {film.name: way(film) for film in films}
            for film, taken in found.items():
                took.setdefault(name, {}).setdefault(film, []).append(taken)
            print(f"{name}: {sum(t.cpu_s for t in found.values()):.1f} s", file=sys.stderr)
    return took, starts


def start_s(name: str) -> float:
    """Processor seconds of a fresh Python, or of the command, until its first film."""
    began = processor_s()
    subprocess.run([sys.executable, "-c", START.format(name=name)], check=True, capture_output=True)
    return processor_s() - began


def side(ways: Sequence[Films], truth: Mapping[str, Truth]) -> dict[str, Any]:
    """A line of a table: all that the ways took together, for each film and in all."""
    films = {
        name: {
            "cpu_s": sum(statistics.median(t.cpu_s for t in way[name]) for way in ways),
            "wall_s": sum(statistics.median(t.wall_s for t in way[name]) for way in ways),
        }
        for name in ways[0]
    }
    first = {name: taken[0] for name, taken in ways[0].items()}
    cuts = {name: taken.cuts for name, taken in first.items() if taken.cuts is not None}
    cpu_s, clips = sum(f["cpu_s"] for f in films.values()), sum(t.clips for t in first.values())
    return {
        "films": films,
        "repeats": min(len(taken) for way in ways for taken in way.values()),
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


def ratio(theirs: Mapping[str, Any], ours: Mapping[str, Any], what: str) -> float:
    """How many times what we take they take: the median over the films."""
    return statistics.median(f[what] / ours["films"][name][what] for name, f in theirs["films"].items())


def answer(sides: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """For each of ours: the peer that costs least, how many times as much, and whether the goal is met."""
    ours = {name: line for name, line in sides.items() if name.startswith("ours")}
    peers = {name: line for name, line in sides.items() if name not in ours}
    made: dict[str, Any] = {}
    for name, line in ours.items():
        ratios = {peer: ratio(peers[peer], line, "cpu_s") for peer in peers}
        if ratios:
            best = min(ratios, key=lambda peer: ratios[peer])
            wall = ratio(peers[best], line, "wall_s")
            met = ratios[best] >= GOAL
            made[name] = {"ratios": ratios, "best": best, "ratio": ratios[best], "wall": wall, "met": met}
    return made


def show(question: str, sides: Mapping[str, dict[str, Any]], answers: Mapping[str, Any]) -> None:
    head = [
        "start s",
        "cpu s",
        "wall s",
        "frames/s",
        "clips",
        "clips/s",
        "moving",
        "MB",
        "encode s",
        "F1",
        "runs",
    ]
    rows = [
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
        for name, line in sides.items()
    ]
    print(f"\n{table([question, *head], rows)}")
    for name, said in answers.items():
        each = ", ".join(f"{peer} {times:.2f}" for peer, times in said["ratios"].items())
        verdict = "met" if said["met"] else "not met"
        print(f"{name}: times our processor time: {each}; by the clock {said['best']} {said['wall']:.2f}")
        print(f"  {said['ratio']:.2f} times the best of them; the goal of {GOAL:.0f} is {verdict}")


def main() -> None:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("folder", metavar="DIR", type=Path)
    parser.add_argument("--nemo", metavar="PYTHON", help="one that has nemo-curator[video_cpu,cv2]")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--questions", nargs="*", choices=list(QUESTIONS), default=list(QUESTIONS))
    parser.add_argument("--films", type=int, default=0, help="at most so many")
    parser.add_argument("--json", metavar="OUT")
    asked = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})  # those it starts inherit it
    truth = {name: film for name, film in read_truth(asked.folder).items() if film.reject is None}
    films = [(asked.folder / name).resolve() for name in truth][: asked.films or None]
    with tempfile.TemporaryDirectory(prefix="clipmill-peers-") as folder:
        tempfile.tempdir = folder
        wanted = {
            way for question in asked.questions for ways in QUESTIONS[question].values() for way in ways
        }
        took, starts = measure(films, wanted, asked.nemo, asked.repeats)
    found: dict[str, Any] = {}
    for question in asked.questions:
        sides = {
            name: {
                **side([took[way] for way in ways], truth),
                "start_cpu_s": sum(starts[way] for way in ways),
            }
            for name, ways in QUESTIONS[question].items()
            if all(way in took for way in ways)
        }
        answers = answer(sides)
        show(question, sides, answers)
        found[question] = {"sides": sides, "answers": answers}
    if not asked.nemo and "clips" in asked.questions:
        print("\nNeMo Curator was not measured: name a Python that has it by --nemo.")
    write_json(asked.json, {"goal": GOAL, "questions": found})


if __name__ == "__main__":
    main()
