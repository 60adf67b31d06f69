"""The schedule of a run: which tasks are ready, and which become ready when a task is finished.

A part of a step is ready when the same part of every step that it reads from exists. The first phase of
a survey or a launch is ready when all parts of its inputs exist; a later phase, when the phase before it
is complete. Tables are closed first. Then the tasks furthest downstream are taken, so that few intermediate
results wait.
"""

import heapq
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence

from manifests.manifest import complete_manifest
from manifests.rows.reject import RejectRow
from manifests.schema import rows_of
from manifests.table import part_name, read_part, read_row_counts
from pipeline.chunked import Chunked
from pipeline.engine.missing_files import missing_files
from pipeline.engine.pauses import Pauses
from pipeline.engine.steps import rule
from pipeline.engine.task import NodeWork, Progress, Task, TaskResult
from pipeline.errors import StageFailed
from pipeline.events.emitter import Emitter
from pipeline.planning.plan import Plan, Step
from pipeline.stage import Compare

_MIN_ERRORS = 8  # after so many errors and no success, the stage is at fault and not its rows


class Schedule:
    """The state of a plan while it runs. It holds counts and part numbers, never rows.

    Attributes:
        to_close: Tasks that close a table; any worker can run them.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.steps: dict[str, Progress] = {step.name: Progress() for step in plan}
        self._ready: dict[str, list[tuple[int, str, Task]]] = {step.name: [] for step in plan}
        self.to_close: list[Task] = []
        self._pushed: set[Task] = set()  # tasks that are ready or run
        self._followers: dict[str, tuple[Step, ...]] = {}
        self._remaining_of_phase: dict[tuple[str, str], set[Task]] = {}
        self._groups: dict[str, set[str]] = {}
        self._remaining_pieces: dict[tuple[str, int], set[Task]] = {}
        self.pauses = Pauses()
        self.nodes: dict[str, NodeWork] = defaultdict(NodeWork)  # by name of the node, if Ray runs the plan
        self.events = Emitter()
        missing = missing_files(plan)
        for step in plan:
            self._find_existing_parts(step, missing.get(step.name, {}))
        for step in plan:
            self._queue_ready(step)

    @property
    def is_finished(self) -> bool:
        return all(progress.is_complete for progress in self.steps.values())

    @property
    def ready(self) -> dict[str, int]:
        """How many tasks of each step could start now, besides `to_close`."""
        return {n: len(tasks) for n, tasks in self._ready.items() if tasks and not self._is_paused(n)}

    def take(self, steps: Iterable[str] | None = None) -> Task | None:
        """Take the next task: to close a table of any step, else of these steps (default: all)."""
        if self.to_close:
            return self._run(self.to_close.pop(0))
        names = self._ready if steps is None else steps
        names = [name for name in names if self._ready[name] and not self._is_paused(name)]
        best = max(names, key=lambda name: self.plan[name].depth, default=None)
        return None if best is None else self._run(heapq.heappop(self._ready[best])[-1])

    def take_following(self, task: Task, steps: Collection[str]) -> list[Task]:
        """Take the tasks of `steps` that can run behind a task: the same part of later steps, in order."""
        if task.phase != "part" or isinstance(self.plan[task.step].node.work, Chunked):
            return []
        made, taken = set(self._made_with(self.plan[task.step])), []
        for step in self._part_by_part_after(task.step):
            name, following = step.name, Task(step.name, "part", task.number)
            if name not in steps or following in self._pushed or task.number in self.steps[name].done:
                continue
            waits = (n for n in step.read_steps if n not in made and task.number not in self.steps[n].done)
            if name in made or self.pauses.has_paused(name) or any(waits):
                continue
            made.update(self._made_with(step))
            self._pushed.add(following)
            taken.append(self._run(following))
        return taken

    def share(self, tasks: Sequence[Task]) -> None:
        """Note that one worker runs these tasks, one after another."""
        for task in tasks:
            self.steps[task.step].tasks[task] = 1 / len(tasks)

    def check_pauses(self) -> None:
        """Call this when no task is running and none is ready. Returns if a paused step can be retried later.

        Raises:
            StageWaits: the paused steps have waited for too long; all other work is done.
        """
        if not self.pauses.reasons():
            raise StageFailed(
                "no task is ready, and the run is not finished",
                remedy="this is a bug in clipmill; report it together with the recipe",
            )
        remaining = sum(not progress.is_complete for progress in self.steps.values())
        self.pauses.check(f"{remaining} of {len(self.steps)} steps are not finished")

    def requeue(self, task: Task) -> None:
        """Queue a task again, as soon as its inputs exist: it was not done."""
        self.steps[task.step].tasks.pop(task, None)
        self._pushed.discard(task)
        if task.phase != "part" or self._input_exists(self.plan[task.step], task.number):
            self._push(task)

    def finish(self, task: Task, result: TaskResult) -> None:
        """Record the result of a task, and queue the tasks that are ready now.

        Raises:
            StageFailed: the stage has failed on every row so far.
        """
        if result.pause:
            self.requeue(task)
            self.pauses.pause(task.step, result.pause)
            return
        self.pauses.resume(task.step)
        step, progress = self.plan[task.step], self.steps[task.step]
        progress.tasks.pop(task, None)
        progress.work += result.work
        self._finish(step, progress, task, result)
        self._pushed.discard(task)

    def _finish(self, step: Step, progress: Progress, task: Task, result: TaskResult) -> None:
        if task.phase not in ("part", "join"):
            self.events.task_finished(task, result)
        if task.phase == "close":
            progress.is_complete = True
            progress.row_counts = result.row_counts or progress.row_counts
            return
        if task.phase in ("rows", "launch"):
            progress.parts = result.parts
            progress.done = set(range(result.parts))
            progress.row_counts = result.row_counts or progress.row_counts
            for other in self.plan:
                if other.root == step.name:
                    self.steps[other.name].parts = result.parts
            for other in self.plan:
                self._queue_ready(other)
        elif task.phase == "piece" or result.pieces:
            self._finish_piece(task, result)
        elif task.phase in ("part", "join"):
            self._finish_part(step, task, result)
        else:
            self._groups.setdefault(step.name, set()).update(result.groups)
            self._remaining_of_phase[step.name, task.phase].discard(task)
            self._queue_ready(step)

    def _finish_part(self, step: Step, task: Task, result: TaskResult) -> None:
        """Record a part, and the parts of chained steps; then queue the tasks that read them."""
        steps = [step, *(self.plan[name] for name, _ in result.chained)]
        counts = [result.row_counts, *(row_counts for _, row_counts in result.chained)]
        for each, row_counts in zip(steps, counts, strict=True):
            progress = self.steps[each.name]
            if row_counts and task.number not in progress.done:
                progress.row_counts += row_counts
                self.events.part_finished(each, task.number, row_counts, result if each is step else None)
            progress.done.add(task.number)
        self._check_stage(step, task, result)
        for each in steps:
            self._queue_ready(each, task.number)
            for reader in self.plan.dependents[each.name]:
                self._queue_ready(reader, task.number)

    def _finish_piece(self, task: Task, result: TaskResult) -> None:
        """Queue the pieces of a part; after the last one, queue the task that joins them."""
        remaining = self._remaining_pieces.setdefault((task.step, task.number), set())
        for name in result.pieces:
            remaining.add(Task(task.step, "piece", task.number, name))
            self._push(Task(task.step, "piece", task.number, name))
        remaining.discard(task)
        if not remaining:
            del self._remaining_pieces[task.step, task.number]
            self._push(Task(task.step, "join", task.number))

    def _find_existing_parts(self, step: Step, lacking: Collection[int]) -> None:
        """Find what exists. Parts with rows that lack files count as missing, and in a survey all parts."""
        progress = self.steps[step.name]
        existing = rule.existing_parts(self.plan, step)
        manifest = complete_manifest(self.plan.store, step.folder, existing)
        if lacking:
            by_part = step.kind in ("layer", "children")
            existing = [number for number in existing if by_part and number not in lacking]
            manifest = None
        if manifest:
            progress.is_complete, progress.row_counts = True, manifest.row_counts
            progress.parts = len(manifest.parts)
        elif step.root != step.name:
            progress.parts = self.steps[step.root].parts
        if manifest or step.root != step.name:
            progress.done = set(existing)
            progress.done_before = len(existing)

    def _queue_ready(self, step: Step, number: int | None = None) -> None:
        """Queue the tasks of a step that are ready, of one part or (by default) of all."""
        progress = self.steps[step.name]
        if progress.is_complete:
            return
        if step.kind == "source" and progress.parts is None:
            self._push(Task(step.name, "rows"))
        elif step.kind == "model" and not progress.done:
            previous = self.plan[step.node.inputs[0]]
            if self._all_inputs_exist(step, self.steps[previous.root].parts):
                self._push(Task(step.name, "launch"))
        elif step.kind == "survey":
            self._queue_survey(step)
        elif step.kind in ("layer", "children", "drops") and progress.parts is not None:
            for part in range(progress.parts) if number is None else (number,):
                if part not in progress.done and self._input_exists(step, part):
                    self._push(Task(step.name, "part", part))
        if progress.has_all_parts:
            self._push(Task(step.name, "close", len(progress.done)))

    def _queue_survey(self, step: Step) -> None:
        progress = self.steps[step.name]
        if (parts := progress.parts) is None or len(progress.done) == parts:
            return
        if not self._all_inputs_exist(step, parts):
            return
        external_tables = step.node.work.num_external_tables() if isinstance(step.node.work, Compare) else 0
        phases: tuple[tuple[str, Callable[[], list[Task]]], ...] = (
            ("tally", lambda: [Task(step.name, "tally", n) for n in range(parts)]),
            ("fit", lambda: [Task(step.name, "fit", parts)]),
            ("assign", lambda: [Task(step.name, "assign", n) for n in range(parts + external_tables)]),
            ("settle", lambda: [Task(step.name, "settle", group=g) for g in self._groups.get(step.name, ())]),
            ("part", lambda: [Task(step.name, "part", n) for n in range(parts) if n not in progress.done]),
        )
        for phase, tasks in phases:
            remaining = self._remaining_of_phase.get((step.name, phase))
            if remaining is None:
                progress.phase = phase
                self._remaining_of_phase[step.name, phase] = remaining = set(tasks())
                for task in remaining:
                    self._push(task)
            if remaining:
                return

    def _input_exists(self, step: Step, number: int) -> bool:
        """Whether part `number` of every step that this one reads from exists."""
        return all(number in self.steps[name].done for name in step.read_steps)

    def _all_inputs_exist(self, step: Step, parts: int | None) -> bool:
        return parts is not None and all(len(self.steps[n].done) == parts for n in step.read_steps)

    def _part_by_part_after(self, name: str) -> tuple[Step, ...]:
        """The later steps whose parts can follow in one message, in the order of the plan."""
        if name not in self._followers:
            reached, found = {name}, []
            for step in self.plan:
                if step.kind in ("layer", "children", "drops") and reached.intersection(step.read_steps):
                    reached.add(step.name)
                    found += [] if isinstance(step.node.work, Chunked) else [step]
            self._followers[name] = tuple(found)
        return self._followers[name]

    def _made_with(self, step: Step) -> list[str]:
        """The steps whose part a task makes: its own, and those of the rules that directly follow a rule."""
        return [each.name for each in rule.chain(self.plan, step)] if step.kind == "drops" else [step.name]

    def _is_paused(self, name: str) -> bool:
        return self.pauses.blocks(name, len(self.steps[name].tasks))

    def _run(self, task: Task) -> Task:
        self.steps[task.step].tasks[task] = 1.0
        self.events.step_started(task.step, self.plan[task.step].kind, self.steps[task.step].parts)
        return task

    def _push(self, task: Task) -> None:
        if task not in self._pushed:
            self._pushed.add(task)
            if task.phase == "close":
                self.to_close.append(task)
            else:
                heapq.heappush(self._ready[task.step], (task.number, f"{task.phase} {task.group}", task))

    def _check_stage(self, step: Step, task: Task, result: TaskResult) -> None:
        counts, last = self.steps[step.name].row_counts, result.row_counts
        if not (last and last.errors) or counts.errors < _MIN_ERRORS or counts.succeeded:
            return
        store, numbers = self.plan.store, self.steps[step.name].done
        existing = (read_row_counts(store, f"{step.folder}/{part_name(number)}") for number in numbers)
        if any(part.succeeded for part in existing):
            return  # the stage succeeded in an earlier run, which the sums of this run leave out
        rejects = read_part(store, f"{step.folder}/{last.rejects}")
        first = next(row for row in rows_of(rejects, RejectRow) if row.kind != "reject")
        raise StageFailed(
            f"step {step.name} failed on each of its first {counts.errors} rows: {first.reason}",
            where=first.detail,
            remedy="fix the stage, raise its version and run again; the results of earlier steps are kept",
        )
