"""Tests of `clipmill gc`: what newer runs use stays, sizes are exact, and a crash leaves a valid store."""

import json
import re
import shutil
import time
from collections.abc import Iterable
from pathlib import Path

import pytest
from toys import Quiet, toy_dag

from manifests.catalog import tables_of
from manifests.errors import Damaged
from manifests.stores.folder import FolderStore
from manifests.verbs.validation import check
from pipeline.cli import main
from pipeline.engine.garbage import delete_garbage, find_garbage
from pipeline.engine.lease import Lease
from pipeline.errors import PipelineError, RecipeError, StoreHeld
from pipeline.executors.inline import Inline
from pipeline.history.run_history import run_names
from pipeline.history.status import status_of
from pipeline.recipes.request import RunRequest
from pipeline.run import RunResult, run_dag


def run(store: Path, **knobs: int) -> RunResult:
    return run_dag(
        toy_dag(**knobs),
        str(store),
        executor=Inline(),
        observer=Quiet(),
        request=RunRequest("toy.py", {}, str(store)),
    )


def processed(result: RunResult) -> int:
    return sum(counts.processed for counts in result.rows.values())


def files_of(store: Path) -> dict[str, int]:
    return {str(p.relative_to(store)): p.stat().st_size for p in store.rglob("*") if p.is_file()}


def faults(store: Path) -> list[str]:
    folder = FolderStore(store)
    return [fault.what for fault in check(folder, tables_of(folder), deep=True).faults]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three runs: the second has more numbers, the third another rule. Squares are copied from run to run."""
    store = tmp_path_factory.mktemp("gc") / "store"
    for knobs in ({"count": 9}, {"count": 12}, {"count": 12, "min_half": 3}):
        run(store, **knobs)
    return store


@pytest.fixture
def store(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "store"))


def test_the_dry_run_states_exactly_what_is_freed_and_deletes_nothing(
    store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = files_of(store)
    assert main(["gc", f"store={store}", "--keep", "1"]) == 0
    count, size = re.search(r"([\d,]+) files to delete, ([\d,]+) bytes", capsys.readouterr().out).groups()  # type: ignore[union-attr]
    assert files_of(store) == before
    assert main(["gc", f"store={store}", "--keep", "1", "--delete"]) == 0
    after = files_of(store)
    assert set(after) < set(before)
    assert len(before) - len(after) == int(count.replace(",", ""))
    assert sum(before.values()) - sum(after.values()) == int(size.replace(",", ""))
    assert f"deleted {count} files: {size} bytes" in capsys.readouterr().out
    assert main(["gc", f"store={store}", "--keep", "1", "--delete"]) == 0
    assert "nothing to delete" in capsys.readouterr().out
    assert main(["gc", f"store={store}"]) == 2
    assert "remedy: add `--keep N`, see clipmill gc --help" in capsys.readouterr().err


def test_what_newer_runs_use_stays_and_they_repeat_nothing(store: Path) -> None:
    newest = run_names(FolderStore(store))[-1]
    garbage = delete_garbage(FolderStore(store), 1)
    assert run_names(FolderStore(store)) == [newest]
    assert garbage.freed_bytes
    left = {name.split("/")[0] for name in files_of(store)}
    assert len([name for name in left if name.startswith("sum-")]) == 1
    assert faults(store) == []
    assert processed(run(store, count=12, min_half=3)) == 0
    assert not delete_garbage(FolderStore(store), 2).names


def test_artifacts_that_only_a_deleted_table_names_are_deleted_in_a_kept_table(tmp_path: Path) -> None:
    """The second run copies rows, and names the files of the first: only the other files are deleted."""
    store = tmp_path / "s"
    run(store, count=9)
    run(store, count=4)
    texts = [name for name in files_of(store) if name.endswith(".txt") and name.startswith("square-")]
    assert len(texts) == 9
    delete_garbage(FolderStore(store), 1)
    texts = [name for name in files_of(store) if name.endswith(".txt") and name.startswith("square-")]
    assert sorted((store / name).read_text() for name in texts) == ["0", "1", "2", "3"]
    assert faults(store) == []
    assert check(FolderStore(store), tables_of(FolderStore(store))).notes == []
    assert processed(run(store, count=4)) == 0
    assert processed(run(store, count=9)) > 0  # the deleted run can be run again
    assert faults(store) == []


def test_a_run_that_continues_and_a_named_run_are_kept(store: Path) -> None:
    first, second, third = run_names(FolderStore(store))
    shutil.copytree(store / "runs" / second, store / "runs" / "9999-unfinished")
    (store / "runs" / "9999-unfinished" / "timings.json").write_text('{"state": "stopped"}')
    garbage = find_garbage(FolderStore(store), 1, [first])
    assert list(garbage.kept) == [first, third, "9999-unfinished"]
    assert {name.split("/")[1] for name in garbage.names} == {second}  # its record; its tables are in use
    assert find_garbage(FolderStore(store), 1).runs == (first, second)
    with pytest.raises(RecipeError, match="no run 'may'"):
        find_garbage(FolderStore(store), 1, ["may"])
    (store / "runs" / "9999-unfinished" / "timings.json").write_text('{"state": "running"}')
    states = {name: run.state for name, run in find_garbage(FolderStore(store), 1).use.runs.items()}
    assert states == status_of(FolderStore(store)).runs
    assert states["9999-unfinished"] == "killed"


def test_a_store_that_a_run_holds_is_refused(store: Path) -> None:
    before = files_of(store)
    with Lease(FolderStore(store), "other"):
        assert find_garbage(FolderStore(store), 1).names
        with pytest.raises(StoreHeld, match="held by run other") as caught:
            delete_garbage(FolderStore(store), 1)
    assert "--force" not in caught.value.remedy
    assert files_of(store) == before


class ForcedRun(FolderStore):
    """At the first deletion of a table, another driver starts with --force."""

    def remove_all(self, names: Iterable[str]) -> None:
        with pytest.raises(StoreHeld, match="clipmill gc deletes files") as caught:
            Lease(FolderStore(self.root), "forced", force=True).__enter__()
        assert "wait" in caught.value.remedy
        super().remove_all(names)


def test_no_run_starts_while_files_are_deleted_not_even_with_force(store: Path) -> None:
    delete_garbage(ForcedRun(store), 1)
    with Lease(FolderStore(store), "other"), Lease(FolderStore(store), "forced", force=True):
        pass  # beside a run, --force works


def test_a_forced_run_holds_the_store_after_its_holder(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.engine.lease._HEARTBEAT_S", 0.01)
    holder = Lease(FolderStore(store), "other")
    with holder, Lease(FolderStore(store), "forced", force=True):
        holder.__exit__()
        while not (store / "lease.json").exists():
            time.sleep(0.01)
        with pytest.raises(StoreHeld, match="held by run forced"):
            delete_garbage(FolderStore(store), 1)
    assert not (store / "lease.json").exists()


class Taken(FolderStore):
    """At the first deletion, another run has taken the store, as if this process had been suspended."""

    def remove_all(self, names: Iterable[str]) -> None:
        lease = json.loads(self.read("lease.json"))
        self.replace("lease.json", json.dumps(lease | {"run": "other"}).encode())
        super().remove_all(names)


def test_a_store_that_was_taken_is_left_alone(store: Path) -> None:
    with pytest.raises(StoreHeld, match="held by run other"):
        delete_garbage(Taken(store), 1)
    tables = {name for name in files_of(store) if name.endswith("manifest.json")}
    (store / "lease.json").unlink()
    assert tables
    assert delete_garbage(FolderStore(store), 1).names
    assert {name for name in files_of(store) if name.endswith("manifest.json")} < tables


def test_nothing_is_deleted_if_the_plan_of_a_run_is_damaged(store: Path) -> None:
    plan = store / "runs" / run_names(FolderStore(store))[-1] / "plan.json"
    plan.write_bytes(plan.read_bytes()[:100])
    before = files_of(store)
    with pytest.raises(Damaged, match="not a recorded plan"):
        delete_garbage(FolderStore(store), keep=1)
    assert files_of(store) == before


def test_nothing_is_deleted_without_a_finished_run(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="no run is recorded"):
        find_garbage(FolderStore(tmp_path), 1)
    (tmp_path / "runs" / "r").mkdir(parents=True)
    with pytest.raises(PipelineError, match="no run in this store is finished"):
        find_garbage(FolderStore(tmp_path), 1)


class Killed(Exception):
    """The process ends here."""


class Crashing(FolderStore):
    """Fails before the n-th deletion."""

    left = 0

    def remove(self, name: str) -> None:
        if name != "lease.json":
            self.left -= 1
            if self.left < 0:
                raise Killed
        super().remove(name)

    def remove_all(self, names: Iterable[str]) -> None:
        for name in names:
            self.remove(name)


def test_a_crash_at_any_deletion_leaves_a_valid_store(tmp_path: Path) -> None:
    store = tmp_path / "s"
    run(store, count=5)
    run(store, count=4)
    total = len(find_garbage(FolderStore(store), 1).names)
    assert total > 30
    for deletions in range(1, total, 5):
        copy = Path(shutil.copytree(store, tmp_path / f"{deletions}"))
        crashing = Crashing(copy)
        crashing.left = deletions
        with pytest.raises(Killed):
            delete_garbage(crashing, 1)
        assert faults(copy) == [], deletions
        again = delete_garbage(FolderStore(copy), 1)
        assert again.names
        assert files_of(copy).keys() == files_of(store).keys() - find_garbage(FolderStore(store), 1).names
        assert faults(copy) == []
        shutil.rmtree(copy)
