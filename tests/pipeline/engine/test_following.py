"""Tasks of steps that run behind each other in one worker: order, results, and tasks that were not done."""

from collections import Counter
from pathlib import Path

import pytest
from toys import Numbers, Quiet, Split, Square, toy_dag

from manifests.stores.folder import FolderStore
from pipeline import Dag
from pipeline.engine.schedule import Schedule
from pipeline.engine.steps.finalize import begin_table
from pipeline.engine.task import Pause, Task, TaskResult
from pipeline.engine.worker import Worker
from pipeline.executors.inline import Inline
from pipeline.planning.plan import Plan, build_plan


def tables(store: Path) -> dict[str, bytes]:
    files = {p.relative_to(store).as_posix(): p for p in store.rglob("*") if p.is_file()}
    return {name: p.read_bytes() for name, p in files.items() if "/." not in f"/{name}"}


def begin(dag: Dag, store: FolderStore) -> tuple[Plan, Schedule, Worker]:
    plan = build_plan(dag, store, "r")
    for step in plan:
        begin_table(plan, step)
    return plan, Schedule(plan), Worker(plan)


def two_rules() -> Dag:
    dag = Dag("d")
    squares = dag.read(Numbers(count=6), rows_per_part=3).annotate(Square())
    kept = squares.keep("half >= 1", because="small").keep("square < 20", because="large")
    dag.save(kept.expand(Split()), "x")
    return dag


def listed(store: Path) -> tuple[Plan, Schedule, Worker]:
    """A schedule after its source was listed and closed."""
    plan, schedule, worker = begin(two_rules(), FolderStore(store))
    for _ in range(2):
        task = schedule.take()
        assert task
        schedule.finish(task, worker.run(task))
    return plan, schedule, worker


def test_a_task_is_followed_by_the_same_part_of_the_steps_behind_it(tmp_path: Path) -> None:
    plan, schedule, _ = listed(tmp_path)
    task = schedule.take()
    assert task == Task("square", "part", 0)
    following = schedule.take_following(task, plan.steps)
    assert [str(t) for t in following] == ["small part 0", "split part 0"]  # the two rules are one task
    assert schedule.take_following(task, plan.steps) == []
    schedule.share([task, *following])
    assert [schedule.steps[n].workers for n in ("square", "small", "large")] == [1 / 3, 1 / 3, 0]
    assert schedule.steps["split"].running == 1


def test_only_steps_whose_inputs_are_made_follow(tmp_path: Path) -> None:
    _, schedule, _ = listed(tmp_path)
    task = schedule.take()
    assert task
    assert schedule.take_following(task, ["split"]) == []  # the rules before it run elsewhere
    assert [t.step for t in schedule.take_following(task, ["small"])] == ["small"]


def test_a_following_task_that_was_not_done_waits_for_its_input(tmp_path: Path) -> None:
    plan, schedule, worker = listed(tmp_path)
    task = schedule.take()
    assert task
    following = schedule.take_following(task, plan.steps)
    for each in (task, *following):
        schedule.requeue(each)
    assert schedule.ready == {"square": 2}
    again = schedule.take()
    assert again == task
    schedule.finish(task, worker.run(task))
    assert schedule.ready == {"square": 1, "small": 1}


def test_no_task_follows_for_a_paused_step(tmp_path: Path) -> None:
    plan, schedule, _ = listed(tmp_path)
    schedule.pauses.pause("split", Pause("unavailable", 0, 60))
    task = schedule.take()
    assert task
    assert [t.step for t in schedule.take_following(task, plan.steps)] == ["small"]
    schedule.finish(task, TaskResult(pause=Pause("unavailable", 60, 60)))
    assert schedule.ready == {}


@pytest.mark.parametrize("order", ["behind each other", "by itself"])
def test_both_orders_give_the_tables_of_inline(order: str, tmp_path: Path) -> None:
    dag = toy_dag(bad=5, fail_on=11)
    plan, schedule, worker = begin(dag, FolderStore(tmp_path / "own"))
    while task := schedule.take():
        steps = plan.steps if order == "behind each other" else ()
        for each in (task, *schedule.take_following(task, steps)):
            schedule.finish(each, worker.run(each))
    assert schedule.is_finished
    assert not any(progress.tasks for progress in schedule.steps.values())
    Inline().run(build_plan(dag, FolderStore(tmp_path / "inline"), "r"), Quiet())
    assert tables(tmp_path / "own") == tables(tmp_path / "inline")


class CountingStore(FolderStore):
    """Counts how often each file is read."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.reads: Counter[str] = Counter()

    def read(self, name: str, start: int = 0, size: int | None = None) -> bytes:
        self.reads[name] += 1
        return super().read(name, start, size)

    def local(self, name: str):  # type: ignore[no-untyped-def]
        self.reads[name] += 1
        return super().local(name)


def test_closing_reads_each_part_of_the_table_once_and_no_part_of_its_complete_inputs(tmp_path: Path) -> None:
    store = CountingStore(tmp_path)
    plan, schedule, worker = begin(two_rules(), store)
    while task := schedule.take():
        closes = task.phase == "close"
        before = Counter(store.reads)
        result = (Worker(plan) if closes else worker).run(task)
        if closes:
            parts = {n: c for n, c in (store.reads - before).items() if "/part-" in n}
            assert parts == {f"{plan[task.step].folder}/part-{n:06d}.parquet": 1 for n in range(2)}
        schedule.finish(task, result)
    assert schedule.is_finished
