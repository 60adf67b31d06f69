"""Measures the recall, the precision and the cost of the duplicate search.

    python -m benchmarks.duplicates [FOOTAGE] [--rows N …] [--store DIR] [--queries N] [--json OUT]

--rows searches random vectors with planted duplicates. The engine runs SearchPairs and FindDuplicates in this
process, from a table on disk to tables on disk. Two other searches are measured for comparison: an exact
search, of which a sample of queries is run and the rest is extrapolated (each pair once), and the pairs
inside the clusters of one k-means pass. Recall is the share of the pairs that the exact search finds for the
queries. All times are CPU seconds; set OMP_NUM_THREADS=1.

FOOTAGE is a folder of clips of one shot each, of different scenes. Each clip is edited in all ways of
`benchmarks/workloads/clip_edits.py`. A copy is found if the search finds it and its copy similarity to its
original is at least `max_copy_similarity`. The two halves of each clip are other moments, and no copies.
"""

import argparse
import resource
import shutil
import tempfile
import time
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.workloads.clip_edits import EDITS, copy
from benchmarks.workloads.printing import table, write_json
from benchmarks.workloads.vectors import (
    ids_of,
    plan_search,
    plant_vectors,
    run_timed,
    search_clusters,
    search_exact,
    write_vectors,
)
from manifests.stores.folder import FolderStore
from manifests.table import part_name, parts_of, read_part
from pipeline.planning.plan import Plan
from stages.duplicates.copies import copy_similarity, mirror
from stages.duplicates.descriptor import mirrored
from stages.duplicates.embed_clip import ClipEmbedding, EmbedClip, ScannedClip
from stages.duplicates.find_duplicates import FindDuplicates
from stages.duplicates.search_pairs import SearchPairs
from stages.scan.scan_video import ListedVideo, ScannedVideo, ScanVideo

MIN_SIMILARITY, DUPLICATE_SIMILARITY, OTHER_SIMILARITY = 0.9, 0.91, 0.95
ROWS_PER_PART = 20_000
CLUSTERS = {100_000: 1000}  # of the k-means pass, by number of rows; else 2000


def pairs_in(plan: Plan, step: str, count: int) -> set[tuple[int, int]]:
    """The pairs that a search stored, as row numbers."""
    number = {name: n for n, name in enumerate(ids_of(count))}
    found = set()
    for part in parts_of(plan.store, plan[step].folder):
        rows = read_part(plan.store, f"{plan[step].folder}/{part_name(part)}", ["id", "similar_ids"])
        for row in rows.to_pylist():
            found |= {tuple(sorted((number[row["id"]], number[other]))) for other in row["similar_ids"]}
    return found  # type: ignore[return-value]


def on_vectors(count: int, folder: Path, queries: int) -> dict[str, Any]:
    """What the three searches find among random vectors, and their cost."""
    planted = plant_vectors(count)
    plan = plan_search(folder, count, ROWS_PER_PART, MIN_SIMILARITY, DUPLICATE_SIMILARITY)
    write_vectors(plan, planted.vectors, ROWS_PER_PART)
    sampled = np.random.default_rng(2).choice(count, queries, replace=False)
    expected, queries_s = search_exact(planted.vectors, sampled, MIN_SIMILARITY)
    exact_s = queries_s * count / queries / 2
    query_set = set(sampled.tolist())
    clustered, clusters_s = search_clusters(planted.vectors, CLUSTERS.get(count, 2000), MIN_SIMILARITY)
    pairs, similarity = planted.pairs, planted.similarity
    del planted
    before_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    phases = run_timed(plan)
    ours_s = sum(phases.values())
    ours = pairs_in(plan, "search_pairs", count)
    of_queries = {pair for pair in ours if query_set & set(pair)}
    start_s = time.process_time()
    run_timed(plan_search(folder, count, ROWS_PER_PART, MIN_SIMILARITY, OTHER_SIMILARITY))
    return {
        "rows": count,
        "exact_s": exact_s,
        "clusters_s": clusters_s,
        "ours_s": ours_s,
        "phases_s": phases,
        "decided_again_s": time.process_time() - start_s,
        "exact_pairs_of_queries": len(expected),
        "clusters_recall": len(expected & clustered) / len(expected),
        "recall": len(expected & ours) / len(expected),
        "precision": len(of_queries & expected) / max(len(of_queries), 1),
        "planted_recall": _recall_by_similarity(pairs, similarity, ours),
        "planted_clusters_recall": _recall_by_similarity(pairs, similarity, clustered),
        "max_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "max_rss_before_mb": before_mb,
    }


def _recall_by_similarity(
    pairs: np.ndarray, similarity: np.ndarray, found: set[tuple[int, int]]
) -> dict[str, float]:
    """The share of the planted pairs that was found, by their similarity."""
    is_found = np.array([tuple(sorted(pair)) in found for pair in pairs.tolist()])
    return {f"{s:g}": float(is_found[similarity == s].mean()) for s in np.unique(similarity)[::-1]}


def embed_video(video: Path, store: FolderStore) -> list[ClipEmbedding]:
    """The embedding of a whole video, and of its two halves."""
    (row,) = ScanVideo(meters=()).annotate([ListedVideo(uri=str(video))])
    assert isinstance(row, ScannedVideo), row
    whole = ScannedClip(
        signals=row.signals.save(store, "scan"),
        strip=row.strip.save(store, "scan"),
        strip_times_s=row.strip_times_s,
        strip_offsets=row.strip_offsets,
        start_s=0.0,
        end_s=row.scanned_s,
    )
    middle_s = row.scanned_s / 2
    results = EmbedClip().annotate([whole, replace(whole, end_s=middle_s), replace(whole, start_s=middle_s)])
    return [result for result in results if isinstance(result, ClipEmbedding)]


def on_clips(footage: Path, folder: Path) -> dict[str, Any]:
    """The similarity of edited copies to their originals, and of different scenes to each other."""
    store = FolderStore(folder)
    copies: dict[str, dict[str, tuple[float, float]]] = defaultdict(dict)
    halves: list[tuple[float, float]] = []
    vectors: list[tuple[str, np.ndarray]] = []
    for video in sorted(footage.iterdir()):
        target = folder / "copy.mp4"
        if not copy(video, target):
            continue
        original, *parts = embed_video(target, store)
        halves.append(_similarities(*parts))
        vectors.append((video.name, np.asarray(original.embedding)))
        for edit in EDITS:
            copy(video, target, edit)
            copied = embed_video(target, store)[0]
            vectors.append((video.name, np.asarray(copied.embedding)))
            copies[edit][video.name] = _similarities(original, copied)
    names = np.array([name for name, _ in vectors])
    stacked = np.stack([vector for _, vector in vectors])
    highest = np.maximum(stacked @ stacked.T, stacked @ mirrored(stacked).T)
    different = highest[names[:, None] != names[None]]
    found = {edit: np.array(list(by_clip.values())) for edit, by_clip in copies.items()}
    limit, halved = FindDuplicates.max_semantic_similarity, np.array(halves)
    every = np.concatenate(list(found.values()))
    return {
        "clips": len(halves),
        "max_semantic_similarity": limit,
        "max_copy_similarity": FindDuplicates.max_copy_similarity,
        "edits": {
            e: {
                "lowest": float(s[:, 1].min()),
                "recall": _copy_share(s),
                "lowest_semantic": float(s[:, 0].min()),
                "recall_semantic": float((s[:, 0] >= limit).mean()),
            }
            for e, s in found.items()
        },
        "recall": _copy_share(every),
        "recall_semantic": float((every[:, 0] >= limit).mean()),
        "halves_as_copies": _copy_share(halved),
        "halves_as_semantic": float((halved[:, 0] >= limit).mean()),
        "different_scenes_highest": float(different.max()),
        "different_scenes_similar": int((different >= limit).sum()) // 2,
        "different_pairs": len(different) // 2,
    }


def _similarities(one: ClipEmbedding, other: ClipEmbedding) -> tuple[float, float]:
    """The cosine similarity of the embeddings, and the copy similarity; of mirror images if it is higher."""
    vector, others = np.asarray(one.embedding), np.asarray(other.embedding)[None]
    copies = [copy_similarity(one.frame_signature, other.frame_signature)]
    cosine = float(vector @ others[0])
    if (flipped := float(vector @ mirrored(others)[0])) >= SearchPairs.min_similarity:
        copies.append(copy_similarity(one.frame_signature, mirror(other.frame_signature)))
    return max(cosine, flipped), max(copies)


def _copy_share(similarities: np.ndarray) -> float:
    """The share of pairs, [n 2], that the search finds and that are copies."""
    limits = (SearchPairs.min_similarity, FindDuplicates.max_copy_similarity)
    return float((similarities >= limits).all(axis=1).mean())


def _print_vectors(result: dict[str, Any]) -> None:
    lines = [
        [name, f"{result[f'{key}_s']:,.0f}", f"{result['exact_s'] / result[f'{key}_s']:.0f}", f"{recall:.4f}"]
        for name, key, recall in (
            ("exact, each pair once", "exact", 1.0),
            ("k-means, one cluster each", "clusters", result["clusters_recall"]),
            ("SearchPairs and FindDuplicates", "ours", result["recall"]),
        )
    ]
    print(f"\n{result['rows']:,} vectors of 512 numbers, pairs with a similarity of {MIN_SIMILARITY} or more")
    print(table(["", "CPU s", "speedup", "recall"], lines))
    planted = ", ".join(f"{share:.4f} at {s}" for s, share in result["planted_recall"].items())
    print(f"planted pairs found: {planted}; precision {result['precision']:.4f}")
    print(f"another max_semantic_similarity: {result['decided_again_s']:.1f} CPU s")
    print(f"peak memory: {result['max_rss_mb']:,.0f} MB")
    print("; ".join(f"{phase} {spent:.1f} s" for phase, spent in result["phases_s"].items() if spent > 0.5))


def _print_clips(result: dict[str, Any]) -> None:
    print(
        f"\n{result['clips']} real clips, copies from a copy similarity of {result['max_copy_similarity']} on"
    )
    names = ("recall", "lowest", "recall_semantic", "lowest_semantic")
    lines = [[e, *(f"{s[name]:.3f}" for name in names)] for e, s in result["edits"].items()]
    print(table(["edit", *names], lines))
    print(
        f"all edits: {result['recall']:.3f} (semantic {result['recall_semantic']:.3f}); halves of one clip: "
        f"{result['halves_as_copies']:.3f} are copies, {result['halves_as_semantic']:.3f} semantic"
    )
    print(
        f"of {result['different_pairs']:,} pairs of different scenes, {result['different_scenes_similar']} "
        f"are similar; the highest similarity is {result['different_scenes_highest']:.3f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("footage", nargs="?", type=Path)
    parser.add_argument("--rows", type=int, nargs="*", default=[])
    parser.add_argument(
        "--store", type=Path, help="folder with 10 kB of free space per row; default: a temporary one"
    )
    parser.add_argument("--queries", type=int, default=2000)
    parser.add_argument("--json")
    args = parser.parse_args()
    results: dict[str, Any] = {"vectors": []}
    for count in args.rows:
        folder = Path(tempfile.mkdtemp(dir=args.store))
        try:
            results["vectors"].append(on_vectors(count, folder, args.queries))
        finally:
            shutil.rmtree(folder)
        _print_vectors(results["vectors"][-1])
    if args.footage:
        with tempfile.TemporaryDirectory(dir=args.store) as folder_name:
            results["clips"] = on_clips(args.footage, Path(folder_name))
        _print_clips(results["clips"])
    write_json(args.json, results)


if __name__ == "__main__":
    main()
