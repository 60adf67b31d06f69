"""A whole DAG in a bucket: the same tables as in a folder, resumed from what stands, one winner per part."""

from pathlib import Path

import pytest
from toys import Quiet, toy_dag

from manifests.catalog import tables_of
from manifests.stores import open_store
from manifests.stores.folder import FolderStore
from manifests.verbs.validation import check
from pipeline.engine.garbage import delete_garbage, find_garbage
from pipeline.engine.task import WorkCounts
from pipeline.executors.inline import Inline
from pipeline.planning.plan import build_plan
from pipeline.recipes.request import RunRequest
from pipeline.run import run_dag


def test_a_bucket_holds_the_same_tables_as_a_folder(bucket: str, tmp_path: Path) -> None:
    dag = toy_dag(count=6, bad=5)
    store = open_store(f"{bucket}/store")
    schedule = Inline().run(build_plan(dag, store, "a"), Quiet())
    assert schedule.is_finished
    Inline().run(build_plan(dag, FolderStore(tmp_path), "a"), Quiet())
    folder = FolderStore(tmp_path)
    names = [name for name in folder.walk() if "/." not in name]
    assert sorted(store.walk()) == sorted(names)
    assert all(store.read(name) == folder.read(name) for name in names)
    again = Inline().run(build_plan(dag, open_store(f"{bucket}/store"), "b"), Quiet())
    assert [p.work for p in again.steps.values()] == [WorkCounts()] * len(again.steps)


def test_gc_deletes_on_an_object_store_what_the_last_run_does_not_use(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """In the memory of this process, with the code that also serves S3: a run on S3 takes many seconds."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    url = "memory://gc/store"
    for count in (4, 2):
        run_dag(
            toy_dag(count=count, min_half=0),
            url,
            executor=Inline(),
            observer=Quiet(),
            request=RunRequest("toy.py", {}, url),
        )
    store = open_store(url)
    before = store.files()
    garbage = delete_garbage(store, 1)
    after = store.files()
    assert {file.name for file in before} - {file.name for file in after} == garbage.names
    assert sum(f.size_bytes for f in before) - sum(f.size_bytes for f in after) == garbage.freed_bytes > 0
    assert not find_garbage(store, 1).names
    assert check(store, tables_of(store), deep=True).faults == []
