"""Which tasks are sent to an actor in one message, and which steps share actors. Without Ray."""

from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
from toys import Numbers, Split, Square

from manifests.stores.folder import FolderStore
from pipeline import Dag
from pipeline.engine.schedule import Schedule
from pipeline.engine.steps.finalize import begin_table
from pipeline.engine.task import Pause, Task
from pipeline.engine.worker import Worker
from pipeline.executors.on_ray.messages import Messages
from pipeline.executors.on_ray.pool import Pool, PoolActor, pools_of
from pipeline.planning.plan import Plan, build_plan


class SquareWithModel(Square):
    """Holds an object that is built once."""

    @cached_property
    def model(self) -> int:
        return 1


def dag(square: Any = None) -> Dag:
    found = Dag("d")
    squares = found.read(Numbers(count=12), rows_per_part=1).annotate(square or Square())
    found.save(squares.keep("half >= 1", because="small").expand(Split()), "x")
    return found


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return build_plan(dag(), FolderStore(tmp_path), "r")


@pytest.fixture
def schedule(plan: Plan) -> Schedule:
    for step in plan:
        begin_table(plan, step)
    found, worker = Schedule(plan), Worker(plan)
    for _ in range(2):  # the source, and its table
        task = found.take()
        assert task
        found.finish(task, worker.run(task))
    return found


@pytest.fixture
def pool(plan: Plan) -> Pool:
    [pool] = pools_of(plan)
    pool.actors = [PoolActor(None, "node", pool, None)]
    return pool


def measured(schedule: Schedule, seconds: float) -> Messages:
    """Messages that have measured `seconds` for each step."""
    messages = Messages(schedule)
    for step in schedule.plan:
        messages.measure(Task(step.name, "part"), seconds)
    return messages


def test_tasks_that_were_not_measured_are_sent_alone_with_rules_behind_them(
    schedule: Schedule, pool: Pool
) -> None:
    sent = Messages(schedule).take(pool, ())
    assert [str(task) for task in sent] == ["square part 0", "small part 0"]


def test_short_tasks_are_sent_together_part_after_part(schedule: Schedule, pool: Pool) -> None:
    sent = measured(schedule, 0.001).take(pool, ())
    assert [str(task) for task in sent[:4]] == [
        "square part 0",
        "small part 0",
        "split part 0",
        "square part 1",
    ]
    assert {task.number for task in sent} == set(range(6))  # of 12; another actor may come
    assert schedule.steps["square"].workers == pytest.approx(1 / 3)


def test_long_tasks_are_sent_alone(schedule: Schedule, pool: Pool) -> None:
    assert [str(task) for task in measured(schedule, 3.0).take(pool, ())] == ["square part 0", "small part 0"]


def test_actors_share_the_parts(schedule: Schedule, pool: Pool) -> None:
    pool.actors *= 3
    sent = measured(schedule, 0.001).take(pool, ())
    assert {task.number for task in sent} == {0, 1}


def test_a_task_on_which_a_worker_died_is_sent_alone(schedule: Schedule, pool: Pool) -> None:
    messages = measured(schedule, 0.001)
    assert [str(t) for t in messages.take(pool, {Task("square", "part", 0)})] == ["square part 0"]
    suspects = {Task("square", "part", 2)}
    assert {task.number for task in messages.take(pool, suspects)} == {1}
    assert [str(t) for t in messages.take(pool, suspects)] == ["square part 2"]


def test_a_paused_step_is_tried_with_one_task(schedule: Schedule, pool: Pool) -> None:
    schedule.pauses.pause("square", Pause("unavailable", 0, 60))
    assert [str(t) for t in measured(schedule, 0.001).take(pool, ())] == ["square part 0"]


@pytest.mark.parametrize(
    ("square", "own"),
    [
        (Square(), []),
        (Square().on(batch=8, retries=3), []),
        (Square().on(cpus=2), ["square"]),
        (Square().on(gpus=0.5), ["square"]),
        (Square().on(workers=1), ["square"]),
        (SquareWithModel().on(name="square"), ["square"]),
    ],
)
def test_steps_share_actors_unless_they_need_own_processes(
    square: object, own: list[str], tmp_path: Path
) -> None:
    pools = pools_of(build_plan(dag(square), FolderStore(tmp_path), "r"))
    assert [pool.step for pool in pools] == [*own, ""]
    assert set(pools[-1].steps) == {"numbers", "square", "small", "split"} - set(own)
