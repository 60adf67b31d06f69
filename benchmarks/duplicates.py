"""Are all duplicates found, how fast, and nothing else? On drawn vectors, and on copies of real clips.

    python -m benchmarks.duplicates [FOOTAGE] [--rows N …] [--store DIR] [--queries N] [--json OUT]

Vectors: SearchPairs and FindDuplicates run by the engine, in this process, from a table on disk to tables on
disk; against exact search, of which a sample of queries is measured and the rest reckoned (each pair once);
and against one k-means pass with one cluster each. Recall is of the pairs that exact search finds for the
queries. All of it in CPU seconds; set OMP_NUM_THREADS=1.

FOOTAGE: a folder of clips of one shot each, of different scenes. Each is edited in all the ways of
`benchmarks/copying.py`; a copy is found if its similarity to its original reaches the threshold.
"""

import argparse
import resource
import shutil
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.copying import EDITS, copy
from benchmarks.printing import table, write_json
from benchmarks.vectors import drawn, exact, fill, flat, ids_of, plan_at, run
from manifests.stores.folder import FolderStore
from manifests.table import part_name, parts_of, read_part
from pipeline.planning.plan import Plan
from stages.duplicates.embed_clip import EmbedClip, Embedded, ScannedClip
from stages.duplicates.find_duplicates import FindDuplicates
from stages.scan.scan_video import Listed, Scanned, ScanVideo

FLOOR, THRESHOLD, PER_PART = 0.9, 0.91, 20_000
CLUSTERS = {100_000: 1000}  # of the flat pass; 2000 for more rows


def pairs_in(plan: Plan, step: str, count: int) -> set[tuple[int, int]]:
    """The pairs that a search stored, as numbers of rows."""
    number = {name: n for n, name in enumerate(ids_of(count))}
    found = set()
    for part in parts_of(plan.store, plan[step].folder):
        rows = read_part(plan.store, f"{plan[step].folder}/{part_name(part)}", ["id", "alike"])
        for row in rows.to_pylist():
            found |= {tuple(sorted((number[row["id"]], number[other]))) for other in row["alike"]}
    return found  # type: ignore[return-value]


def on_vectors(count: int, folder: Path, queries: int) -> dict[str, Any]:
    """What the three searches find among drawn vectors, and what they cost."""
    made = drawn(count)
    plan = plan_at(folder, count, PER_PART, FLOOR, THRESHOLD)
    fill(plan, made.vectors, PER_PART)
    asked = np.random.default_rng(2).choice(count, queries, replace=False)
    wanted, spent_s = exact(made.vectors, asked, FLOOR)
    exact_s = spent_s * count / queries / 2
    known = set(asked.tolist())
    one, one_s = flat(made.vectors, CLUSTERS.get(count, 2000), FLOOR)
    planted = made.pairs, made.similarity
    del made
    before_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    phases = run(plan)
    ours_s = sum(phases.values())
    ours = pairs_in(plan, "search_pairs", count)
    own = {pair for pair in ours if known & set(pair)}
    began = time.process_time()
    again = plan_at(folder, count, PER_PART, FLOOR, 0.95)
    run(again)
    return {
        "rows": count,
        "exact_s": exact_s,
        "flat_s": one_s,
        "ours_s": ours_s,
        "phases_s": phases,
        "decided_again_s": time.process_time() - began,
        "exact_pairs_of_queries": len(wanted),
        "flat_recall": len(wanted & one) / len(wanted),
        "recall": len(wanted & ours) / len(wanted),
        "precision": len(own & wanted) / max(len(own), 1),
        "planted_recall": _planted(*planted, ours),
        "planted_flat_recall": _planted(*planted, one),
        "most_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "most_before_mb": before_mb,
    }


def _planted(pairs: np.ndarray, similarity: np.ndarray, found: set[tuple[int, int]]) -> dict[str, float]:
    hit = np.array([tuple(sorted(pair)) in found for pair in pairs.tolist()])
    return {f"{s:g}": float(hit[similarity == s].mean()) for s in np.unique(similarity)[::-1]}


def embedded(video: Path, store: FolderStore) -> np.ndarray:
    """The descriptor of a whole video."""
    (row,) = ScanVideo(meters=()).annotate([Listed(uri=str(video))])
    assert isinstance(row, Scanned), row
    clip = ScannedClip(
        strip=row.strip.stored(store, "scan"),
        strip_times_s=row.strip_times_s,
        strip_offsets=row.strip_offsets,
        start_s=0.0,
        end_s=float("inf") if not row.strip_times_s else row.strip_times_s[-1] + 0.5,
    )
    (answer,) = EmbedClip().annotate([clip])
    assert isinstance(answer, Embedded), answer
    return np.asarray(answer.embedding)


def on_clips(footage: Path, folder: Path) -> dict[str, Any]:
    """How similar edited copies are to their originals, and different scenes to each other."""
    store, originals = FolderStore(folder), {}
    copies: dict[str, dict[str, float]] = defaultdict(dict)
    every: list[tuple[str, np.ndarray]] = []
    for video in sorted(footage.iterdir()):
        target = folder / "copy.mp4"
        if not copy(video, target):
            continue
        originals[video.name] = embedded(target, store)
        every.append((video.name, originals[video.name]))
        for edit in EDITS:
            copy(video, target, edit)
            vector = embedded(target, store)
            every.append((video.name, vector))
            copies[edit][video.name] = float(vector @ originals[video.name])
    names = np.array([name for name, _ in every])
    alike = np.stack([vector for _, vector in every])
    apart = (alike @ alike.T)[names[:, None] != names[None]]
    found = {edit: np.array(list(said.values())) for edit, said in copies.items()}
    limit = FindDuplicates.threshold
    return {
        "clips": len(originals),
        "threshold": limit,
        "edits": {
            e: {"lowest": float(s.min()), "recall": float((s >= limit).mean())} for e, s in found.items()
        },
        "recall": float((np.concatenate(list(found.values())) >= limit).mean()),
        "different_scenes_highest": float(apart.max()),
        "different_scenes_alike": int((apart >= limit).sum()) // 2,
        "different_pairs": len(apart) // 2,
    }


def _show_vectors(said: dict[str, Any]) -> None:
    lines = [
        [name, f"{said[f'{key}_s']:,.0f}", f"{said['exact_s'] / said[f'{key}_s']:.0f}", f"{recall:.4f}"]
        for name, key, recall in (
            ("exact, each pair once", "exact", 1.0),
            ("k-means, one cluster each", "flat", said["flat_recall"]),
            ("SearchPairs and FindDuplicates", "ours", said["recall"]),
        )
    ]
    print(f"\n{said['rows']:,} vectors of 512 numbers, pairs from {FLOOR} on")
    print(table(["", "CPU s", "times as fast", "recall"], lines))
    planted = ", ".join(f"{share:.4f} at {s}" for s, share in said["planted_recall"].items())
    print(f"planted pairs found: {planted}; precision {said['precision']:.4f}")
    print(f"another threshold: {said['decided_again_s']:.1f} CPU s; at most {said['most_mb']:,.0f} MB")
    print("; ".join(f"{phase} {spent:.1f} s" for phase, spent in said["phases_s"].items() if spent > 0.5))


def _show_clips(said: dict[str, Any]) -> None:
    print(f"\n{said['clips']} real clips, found from {said['threshold']} on")
    lines = [[e, f"{s['recall']:.2f}", f"{s['lowest']:.3f}"] for e, s in said["edits"].items()]
    print(table(["edit", "recall", "lowest"], lines))
    print(
        f"all edits: {said['recall']:.3f}; of {said['different_pairs']:,} pairs of different scenes "
        f"{said['different_scenes_alike']} are alike, the most similar {said['different_scenes_highest']:.3f}"
    )


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    asked.add_argument("footage", nargs="?", type=Path)
    asked.add_argument("--rows", type=int, nargs="*", default=[])
    asked.add_argument("--store", type=Path, help="a folder with room for 10 kB a row; a temporary one else")
    asked.add_argument("--queries", type=int, default=2000)
    asked.add_argument("--json")
    words = asked.parse_args()
    found: dict[str, Any] = {"vectors": []}
    for count in words.rows:
        folder = Path(tempfile.mkdtemp(dir=words.store))
        try:
            found["vectors"].append(on_vectors(count, folder, words.queries))
        finally:
            shutil.rmtree(folder)
        _show_vectors(found["vectors"][-1])
    if words.footage:
        with tempfile.TemporaryDirectory(dir=words.store) as folder_name:
            found["clips"] = on_clips(words.footage, Path(folder_name))
        _show_clips(found["clips"])
    write_json(words.json, found)


if __name__ == "__main__":
    main()
