"""Damaged films: each ends as a result or a reject, within bounds of time and memory; no death is unseen."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
from bounded import Bounded, Outcome
from mutants import WAYS, mutants
from odd_films import HELD, write_odd
from toys import Quiet

from manifests.stores.folder import FolderStore
from manifests.table import read_part
from pipeline import Dag
from pipeline.executors.on_ray import OnRay
from pipeline.executors.on_ray.cluster import cluster
from pipeline.planning.plan import plan_of
from stages.ingest.list_videos import ListVideos
from stages.scan.scan_video import ScanVideo

Draw = Callable[..., Iterator[np.ndarray]]
MOST_MB = 1024  # of address space, beyond what the imports take: what ScanVideo asks for
FEW = ("a.mp4", "b.mov", "d.webm", "e.avi", "f.gif", "h.ts", "j.flv", "o.h264")
SEED, MANY = 1, 80 * len(WAYS)
LARGEST = 700_000  # bytes of a real film that is damaged, for the time it takes


def drawn(folder: Path, moving: Draw, names: Iterable[str]) -> list[Path]:
    folder.mkdir()
    for name in names:
        write_odd(folder / name, moving(1, 20, size=(64, 96), step=(2, 1)), *HELD[name])
    return sorted(folder.iterdir())


def outcomes(donors: list[Path], seed: int, count: int, tmp_path: Path, drafts: Path) -> dict[str, Outcome]:
    """How each mutant ended, by its name."""
    folder = tmp_path / "mutants"
    folder.mkdir()
    with Bounded(drafts, MOST_MB) as worker:
        found = {path.name: worker.ask(path) for path in mutants(donors, seed, count, folder)}
    assert list(drafts.iterdir()) == []
    return found


def check(found: dict[str, Outcome]) -> None:
    """All are results or rejects, and some of each; says how many, and what was dear."""
    bad = {name: outcome for name, outcome in found.items() if outcome.kind not in ("result", "reject")}
    assert bad == {}
    counts = Counter(outcome.kind for outcome in found.values())
    assert min(counts["result"], counts["reject"]) > 0.1 * len(found)
    slowest = max(found.items(), key=lambda item: item[1].cpu_s)
    largest = max(found.items(), key=lambda item: item[1].peak_mb)
    print(f"{dict(counts)}; slowest {slowest[1].cpu_s:.2f} s of {slowest[0]};", end=" ")
    print(f"most memory {largest[1].peak_mb:.0f} MB of {largest[0]}")


def test_damaged_drawn_films_end_as_a_result_or_a_reject(tmp_path: Path, drafts: Path, moving: Draw) -> None:
    donors = drawn(tmp_path / "drawn", moving, FEW)
    check(outcomes(donors, SEED, 4 * len(WAYS), tmp_path, drafts))


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_damaged_real_films_end_as_a_result_or_a_reject(
    tmp_path: Path, drafts: Path, moving: Draw, footage: Path
) -> None:
    endings = (".mp4", ".mkv", ".webm", ".avi", ".gif", ".mov")
    real = [p for p in sorted(footage.glob("*/*")) if p.suffix in endings and p.stat().st_size < LARGEST]
    donors = real + drawn(tmp_path / "drawn", moving, HELD)
    check(outcomes(donors, SEED, MANY, tmp_path, drafts))


def test_mutants_are_the_same_for_a_seed(tmp_path: Path, moving: Draw) -> None:
    donors = drawn(tmp_path / "drawn", moving, ("a.mp4", "f.gif"))
    once, again, other = (
        [(path.name, path.read_bytes()) for path in mutants(donors, seed, 16, tmp_path)] for seed in (1, 1, 2)
    )
    assert once == again
    assert once != other
    assert len({data for _, data in once}) == 16


def test_the_net_catches_a_death_and_a_hang(tmp_path: Path, drafts: Path) -> None:
    """Else that none was caught would say nothing."""
    paths = [tmp_path / f"{shade}.mp4" for shade in (100, 255, 0)]
    for path in paths:
        write_odd(path, [np.full((64, 96, 3), int(path.stem), np.uint8)] * 5)
    with Bounded(drafts, wall_s=15, meters=("fatal:Fatal",)) as worker:
        gray, white, black = (worker.ask(path) for path in paths)
    assert gray.kind == "result"
    assert (white.kind, white.said) == ("death", "SIGSEGV")
    assert black.kind == "hang"
    with Bounded(drafts, more_mb=4) as worker:
        assert worker.ask(paths[0]).kind == "error"  # for want of memory


@pytest.mark.slow
def test_a_film_that_kills_its_worker_is_set_aside_and_the_others_are_scanned(tmp_path: Path) -> None:
    films = tmp_path / "films"
    films.mkdir()
    for number, shade in enumerate((100, 255, 120)):
        write_odd(films / f"{number}.mp4", [np.full((64, 96, 3), shade, np.uint8)] * 5)
    dag = Dag("d")
    rows = dag.read(ListVideos(root=str(films)))
    dag.save(rows.annotate(ScanVideo(meters=("fatal:Fatal",))), "scanned")
    plan = plan_of(dag, FolderStore(tmp_path / "store"), "r")
    with cluster(None, 1):
        schedule = OnRay(workers=1).run(plan, Quiet())
    assert schedule.finished
    assert schedule.steps["scan_video"].books.passed == 2
    names = plan.store.walk(f"{plan['scan_video'].folder}/rejects")
    rejects = [row for name in names for row in read_part(plan.store, name).to_pylist()]
    assert [(row["kind"], row["reason"]) for row in rejects] == [("crash", "its worker died on it 2 times")]
