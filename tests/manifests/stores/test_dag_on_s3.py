"""A whole DAG in a bucket: the same tables as in a folder, resumed from what stands, one winner per part."""

from pathlib import Path

from toys import Quiet, toy_dag

from manifests.stores import open_store
from manifests.stores.folder import FolderStore
from pipeline.engine.task import WorkCounts
from pipeline.executors.inline import Inline
from pipeline.planning.plan import build_plan


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
