"""A process in which a row is not finished in time is ended, even if native code holds Python's lock."""

from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import hanging
from toys import Quiet

from manifests.stores.folder import FolderStore
from manifests.table import read_part
from pipeline.engine.task import Task
from pipeline.engine.worker import Worker
from pipeline.executors.inline import Inline
from pipeline.planning.plan import Plan, build_plan


def exit_code_of_worker(plan: Plan) -> int | None:
    """Run the part in a process of its own, which shares no lock with the threads of this one."""
    worker = get_context("spawn").Process(target=hanging.work, args=(plan,))
    worker.start()
    worker.join()
    return worker.exitcode


def test_a_row_that_hangs_ends_its_worker_and_is_rejected_the_second_time(tmp_path: Path) -> None:
    dag, store = hanging.hanging(), FolderStore(tmp_path)
    Worker(build_plan(dag, store, "r")).run(Task("numbers", "rows"))
    plan = replace(build_plan(dag, store, "r"), row_timeout_s=0.5)
    (tmp_path / plan["hang"].folder).mkdir()
    assert [exit_code_of_worker(plan) for _ in range(2)] == [1, 1]
    events: list[tuple[str, object]] = []

    class Listener(Quiet):
        def observe(self, schedule: object) -> None:
            if not schedule.events.listeners:  # type: ignore[attr-defined]
                schedule.events.listeners.append(lambda event, fields: events.append((event, fields)))  # type: ignore[attr-defined]

    schedule = Inline().run(replace(plan, row_timeout_s=60), Listener())
    counts = schedule.steps["hang"].row_counts
    assert (counts.passed, counts.errors) == (2, 1)
    (file,) = store.walk(f"{plan['hang'].folder}/rejects")
    (reject,) = read_part(store, file).to_pylist()
    assert (reject["kind"], reject["reason"]) == ("crash", "timeout: not finished after 60 s, 2 times")
    assert reject["detail"].startswith(f"{hanging.__file__}:")
    assert reject["detail"].endswith("in annotate")
    ((_, fields),) = [event for event in events if event[0] == "row_crashed"]
    assert fields == {"step": "hang", "part": 0, "row": reject["id"], "reason": reject["reason"]}
