"""Which tasks can be done now, and what becomes possible when one is finished. Pure bookkeeping.

A part of a step can be made when the same part of every step it reads from is there; a survey's
and a launch's first phase too, and the next phase when the one before it is whole. Of the tasks
that can be done, those furthest downstream come first, which keeps what is in between short.
"""

import heapq
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from manifests.manifest import read_manifest
from manifests.rows.reject import RejectRow
from manifests.schema import rows_of
from manifests.table import RowCounts, part_name, parts_of, read_part, read_row_counts
from pipeline.engine.pauses import Pauses
from pipeline.engine.steps import rule
from pipeline.engine.task import Done, Effort, Task
from pipeline.errors import StageFailed, StageWaits
from pipeline.planning.plan import Plan, Step
from pipeline.stage import Compare

_SURE = 8  # this many errors and not one answer: it is the stage, not the rows


@dataclass
class Progress:
    """How far a step is.

    Attributes:
        parts: how many parts it will have, or None while its source is still listing.
        done: the parts that stand.
        found: parts that stood before this run.
        busy: tasks being done now.
        row_counts: the sums over the parts seen in this run.
        effort: what this run's tasks cost.
        phase: what a survey is doing.
        whole: whether the table is closed.
    """

    parts: int | None = None
    done: set[int] = field(default_factory=set)
    found: int = 0
    busy: int = 0
    row_counts: RowCounts = field(default_factory=RowCounts)
    effort: Effort = field(default_factory=Effort)
    phase: str = ""
    whole: bool = False


class Schedule:
    """The state of a plan while it is carried out. It holds sums and part numbers, never rows."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.steps: dict[str, Progress] = {step.name: Progress() for step in plan}
        self._ready: dict[str, list[tuple[int, str, Task]]] = {step.name: [] for step in plan}
        self._known: set[Task] = set()
        self._phase_left: dict[tuple[str, str], set[Task]] = {}
        self._groups: dict[str, set[str]] = {}
        self._pieces_left: dict[tuple[str, int], set[Task]] = {}
        self.pauses = Pauses()
        for step in plan:
            self._find_what_stands(step)
        for step in plan:
            self._offer(step)

    @property
    def finished(self) -> bool:
        return all(progress.whole for progress in self.steps.values())

    @property
    def waiting(self) -> dict[str, int]:
        """How many tasks of each step could be done now."""
        return {name: len(tasks) for name, tasks in self._ready.items() if tasks and not self._held(name)}

    def take(self, steps: Iterable[str] | None = None) -> Task | None:
        """The next task of one of these steps (of any, by default), furthest downstream first."""
        names = [n for n in (steps or self._ready) if self._ready[n] and not self._held(n)]
        if not names:
            return None
        best = max(names, key=lambda name: self.plan[name].depth)
        *_, task = heapq.heappop(self._ready[best])
        self.steps[best].busy += 1
        return task

    def rest(self) -> None:
        """RunRequest when nothing is in hand and nothing can be done now; returns if that may yet change.

        Raises:
            StageWaits: the steps that pause have done so for too long; all else is done.
        """
        told = self.pauses.told()
        if not told:
            raise StageFailed("nothing can be done and the run is not finished: a defect of clipmill")
        if not self.pauses.hopeless():
            return
        left = sum(not progress.whole for progress in self.steps.values())
        raise StageWaits(
            "; ".join(f"step {name} waits: {reason}" for name, reason in told.items()),
            where=f"{left} of {len(self.steps)} steps are not finished",
            remedy="run again when it is back: nothing was dropped, and all that is finished is kept",
        )

    def give_back(self, task: Task) -> None:
        """The task was not done, as its worker died or its stage must wait; offer it again."""
        self.steps[task.step].busy -= 1
        heapq.heappush(self._ready[task.step], (*_order(task), task))

    def finish(self, task: Task, done: Done) -> None:
        """Note a finished task, and offer what it makes possible.

        Raises:
            StageFailed: the stage has failed on every row so far.
        """
        if done.pause:
            self.give_back(task)
            self.pauses.put(task.step, done.pause)
            return
        self.pauses.end(task.step)
        step, progress = self.plan[task.step], self.steps[task.step]
        progress.busy -= 1
        progress.effort += done.effort
        if task.phase == "close":
            progress.whole = True
            progress.row_counts = done.row_counts or progress.row_counts
            return
        if task.phase in ("rows", "launch"):
            progress.parts = done.parts
            progress.done = set(range(done.parts))
            progress.row_counts = done.row_counts or progress.row_counts
            for other in self.plan:
                if other.root == step.name:
                    self.steps[other.name].parts = done.parts
            for other in self.plan:
                self._offer(other)
        elif task.phase == "piece" or done.pieces:
            self._finish_piece(task, done)
        elif task.phase in ("part", "join"):
            self._finish_part(step, task, done)
        else:
            self._groups.setdefault(step.name, set()).update(done.groups)
            self._phase_left[step.name, task.phase].discard(task)
            self._offer(step)

    def _finish_part(self, step: Step, task: Task, done: Done) -> None:
        """Note a part, and those of later steps that were made with it; then offer what reads them."""
        made = [step, *(self.plan[name] for name, _ in done.also)]
        for each, row_counts in zip(
            made, [done.row_counts, *(row_counts for _, row_counts in done.also)], strict=True
        ):
            progress = self.steps[each.name]
            if row_counts and task.number not in progress.done:
                progress.row_counts = _plus(progress.row_counts, row_counts)
            progress.done.add(task.number)
        self._check_stage(step, task, done)
        for each in made:
            self._offer(each, task.number)
            for reader in self.plan.readers[each.name]:
                self._offer(reader, task.number)

    def _finish_piece(self, task: Task, done: Done) -> None:
        """Offer the pieces of a part; when the last is done, the joining of them."""
        left = self._pieces_left.setdefault((task.step, task.number), set())
        for name in done.pieces:
            left.add(Task(task.step, "piece", task.number, name))
            self._push(Task(task.step, "piece", task.number, name))
        if task.phase == "piece":
            left.discard(task)
            self._known.discard(task)
        if not left:
            del self._pieces_left[task.step, task.number]
            self._push(Task(task.step, "join", task.number))

    def _find_what_stands(self, step: Step) -> None:
        progress = self.steps[step.name]
        manifest = read_manifest(self.plan.store, step.folder)
        standing = parts_of(self.plan.store, step.folder)
        if manifest is None and step.kind == "drops":
            standing = [number for number in standing if rule.is_sound(self.plan, step, number)]
        whole = manifest is not None and {part.number for part in manifest.parts} <= set(standing)
        if manifest and whole:
            progress.whole, progress.row_counts = True, manifest.row_counts
            progress.parts = len(manifest.parts)
        elif step.root != step.name:
            progress.parts = self.steps[step.root].parts
        if whole or step.root != step.name:
            progress.done = set(standing)
            progress.found = len(standing)

    def _offer(self, step: Step, number: int | None = None) -> None:
        """Push the tasks of a step that can be done now."""
        progress = self.steps[step.name]
        if progress.whole:
            return
        if step.kind == "source" and progress.parts is None:
            self._push(Task(step.name, "rows"))
        elif step.kind == "model" and not progress.done:
            before = self.plan[step.node.inputs[0]]
            if self._inputs_whole(step, self.steps[before.root].parts):
                self._push(Task(step.name, "launch"))
        elif step.kind == "survey":
            self._offer_survey(step)
        elif step.kind in ("layer", "children", "drops") and progress.parts is not None:
            for part in range(progress.parts) if number is None else (number,):
                if part not in progress.done and self._input_there(step, part):
                    self._push(Task(step.name, "part", part))
        if progress.parts is not None and len(progress.done) == progress.parts:
            self._push(Task(step.name, "close", progress.parts))

    def _offer_survey(self, step: Step) -> None:
        progress = self.steps[step.name]
        parts = progress.parts
        if not self._inputs_whole(step, parts) or parts is None or len(progress.done) == parts:
            return
        phases: tuple[tuple[str, Callable[[], list[Task]]], ...] = (
            ("tally", lambda: [Task(step.name, "tally", n) for n in range(parts)]),
            ("fit", lambda: [Task(step.name, "fit", parts)]),
            ("assign", lambda: [Task(step.name, "assign", n) for n in range(parts + _outside(step))]),
            ("settle", lambda: [Task(step.name, "settle", group=g) for g in self._groups.get(step.name, ())]),
            ("part", lambda: [Task(step.name, "part", n) for n in range(parts) if n not in progress.done]),
        )
        for phase, tasks in phases:
            left = self._phase_left.get((step.name, phase))
            if left is None:
                progress.phase = phase
                self._phase_left[step.name, phase] = left = set(tasks())
                for task in left:
                    self._push(task)
            if left:
                return

    def _input_there(self, step: Step, number: int) -> bool:
        """Whether the part of every step that this one reads from is there."""
        return all(number in self.steps[name].done for name in _before(step))

    def _inputs_whole(self, step: Step, parts: int | None) -> bool:
        return parts is not None and all(len(self.steps[n].done) == parts for n in _before(step))

    def _held(self, name: str) -> bool:
        return self.pauses.holds(name, self.steps[name].busy)

    def _push(self, task: Task) -> None:
        if task not in self._known:
            self._known.add(task)
            heapq.heappush(self._ready[task.step], (*_order(task), task))

    def _check_stage(self, step: Step, task: Task, done: Done) -> None:
        row_counts = self.steps[step.name].row_counts
        if (
            row_counts.errors < _SURE
            or row_counts.passed
            or row_counts.dropped
            or not (done.row_counts and done.row_counts.errors)
        ):
            return
        names = (f"{step.folder}/{part_name(number)}" for number in self.steps[step.name].done)
        standing = (read_row_counts(self.plan.store, name) for name in names)
        if any(part.passed or part.dropped for part in standing):
            return  # in an earlier run, which the sums of this one leave out
        rejects = read_part(self.plan.store, f"{step.folder}/{done.row_counts.rejects}")
        first = next(row for row in rows_of(rejects, RejectRow) if row.kind != "reject")
        raise StageFailed(
            f"step {step.name} failed on each of its first {row_counts.errors} rows: {first.reason}",
            where=first.detail,
            remedy="mend the stage and raise its version, then run again; earlier steps are kept",
        )


def _order(task: Task) -> tuple[int, str]:
    return task.number, f"{task.phase} {task.group}"


def _outside(step: Step) -> int:
    """How many tables from elsewhere a comparison takes in."""
    return step.node.work.outside() if isinstance(step.node.work, Compare) else 0


def _before(step: Step) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*step.node.inputs, *step.reads.values())))


def _plus(a: RowCounts, b: RowCounts) -> RowCounts:
    names = ("rows_in", "passed", "dropped", "rejected", "errors", "rows_out")
    return RowCounts(**{name: getattr(a, name) + getattr(b, name) for name in names})
