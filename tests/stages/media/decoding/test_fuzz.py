"""Fuzz tests: each damaged video ends as a result or a reject, within limits of time and memory."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
from bounded import Bounded, FileOutcome
from mutants import MUTATIONS, mutants
from toys import Quiet
from unusual_videos import CODECS_BY_FILE, write_video

from manifests.stores.folder import FolderStore
from manifests.table import read_part
from pipeline import Dag
from pipeline.executors.on_ray import OnRay
from pipeline.executors.on_ray.cluster import cluster
from pipeline.planning.plan import build_plan
from stages.ingest.list_videos import ListVideos
from stages.scan.scan_video import ScanVideo

Draw = Callable[..., Iterator[np.ndarray]]
MAX_MB = 1024  # MB of address space beyond the imports, as in the needs of ScanVideo
NAMES = ("a.mp4", "b.mov", "d.webm", "e.avi", "f.gif", "h.ts", "j.flv", "o.h264")
SEED, MUTANTS = 1, 80 * len(MUTATIONS)
MAX_BYTES = 700_000  # size of a real video to damage; larger ones take too long


def draw_videos(folder: Path, moving: Draw, names: Iterable[str]) -> list[Path]:
    folder.mkdir()
    for name in names:
        write_video(folder / name, moving(1, 20, size=(64, 96), step=(2, 1)), *CODECS_BY_FILE[name])
    return sorted(folder.iterdir())


def outcomes(
    donors: list[Path], seed: int, count: int, tmp_path: Path, drafts: Path
) -> dict[str, FileOutcome]:
    """Return the outcome of each mutant by name."""
    folder = tmp_path / "mutants"
    folder.mkdir()
    with Bounded(drafts, MAX_MB) as worker:
        found = {path.name: worker.process(path) for path in mutants(donors, seed, count, folder)}
    assert list(drafts.iterdir()) == []
    return found


def check(found: dict[str, FileOutcome]) -> None:
    """Check that all outcomes are results or rejects, with some of each; print the most expensive ones."""
    bad = {name: outcome for name, outcome in found.items() if outcome.kind not in ("result", "reject")}
    assert bad == {}
    counts = Counter(outcome.kind for outcome in found.values())
    assert min(counts["result"], counts["reject"]) > 0.1 * len(found)
    slowest = max(found.items(), key=lambda item: item[1].cpu_s)
    largest = max(found.items(), key=lambda item: item[1].peak_mb)
    print(f"{dict(counts)}; slowest {slowest[1].cpu_s:.2f} s of {slowest[0]};", end=" ")
    print(f"most memory {largest[1].peak_mb:.0f} MB of {largest[0]}")


def test_damaged_drawn_videos_give_a_result_or_a_reject(tmp_path: Path, drafts: Path, moving: Draw) -> None:
    donors = draw_videos(tmp_path / "drawn", moving, NAMES)
    check(outcomes(donors, SEED, 4 * len(MUTATIONS), tmp_path, drafts))


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_damaged_real_videos_give_a_result_or_a_reject(
    tmp_path: Path, drafts: Path, moving: Draw, footage: Path
) -> None:
    endings = (".mp4", ".mkv", ".webm", ".avi", ".gif", ".mov")
    real = [p for p in sorted(footage.glob("*/*")) if p.suffix in endings and p.stat().st_size < MAX_BYTES]
    donors = real + draw_videos(tmp_path / "drawn", moving, CODECS_BY_FILE)
    check(outcomes(donors, SEED, MUTANTS, tmp_path, drafts))


def test_a_seed_gives_the_same_mutants(tmp_path: Path, moving: Draw) -> None:
    donors = draw_videos(tmp_path / "drawn", moving, ("a.mp4", "f.gif"))
    first, second, other = (
        [(path.name, path.read_bytes()) for path in mutants(donors, seed, 16, tmp_path)] for seed in (1, 1, 2)
    )
    assert first == second
    assert first != other
    assert len({data for _, data in first}) == 16


@pytest.mark.slow
def test_the_bounded_worker_detects_a_crash_and_a_hang(tmp_path: Path, drafts: Path) -> None:
    """Without this test, the absence of crashes would prove nothing."""
    paths = [tmp_path / f"{shade}.mp4" for shade in (100, 255, 0)]
    for path in paths:
        write_video(path, [np.full((64, 96, 3), int(path.stem), np.uint8)] * 5)
    with Bounded(drafts, wall_s=15, meters=("fatal:Fatal",)) as worker:
        gray, white, black = (worker.process(path) for path in paths)
    assert gray.kind == "result"
    assert (white.kind, white.message) == ("death", "SIGSEGV")
    assert black.kind == "hang"
    with Bounded(drafts, extra_mb=4) as worker:
        assert worker.process(paths[0]).kind in ("error", "death")  # out of memory in Python, or in a library


@pytest.mark.slow
def test_a_video_that_kills_its_worker_is_rejected_and_the_others_are_scanned(tmp_path: Path) -> None:
    films = tmp_path / "films"
    films.mkdir()
    for number, shade in enumerate((100, 255, 120)):
        write_video(films / f"{number}.mp4", [np.full((64, 96, 3), shade, np.uint8)] * 5)
    dag = Dag("d")
    rows = dag.read(ListVideos(root=str(films)))
    dag.save(rows.annotate(ScanVideo(meters=("fatal:Fatal",))), "scanned")
    plan = build_plan(dag, FolderStore(tmp_path / "store"), "r")
    with cluster(None, 1):
        schedule = OnRay(workers=1).run(plan, Quiet())
    assert schedule.is_finished
    assert schedule.steps["scan_video"].row_counts.passed == 2
    names = plan.store.walk(f"{plan['scan_video'].folder}/rejects")
    rejects = [row for name in names for row in read_part(plan.store, name).to_pylist()]
    assert [(row["kind"], row["reason"]) for row in rejects] == [
        ("crash", "the worker died on this row 2 times")
    ]
