"""A worker holds a plan and opened stages, runs one task after another, and commits each result.

All executors use this class. A worker sees in the store what an earlier task committed, so running
a task twice is harmless.
"""

import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from manifests.errors import ClipmillError, disk_full_error
from pipeline.chunked import Chunked
from pipeline.engine.steps import chunked, compare, finalize, launch, rowwise, rule, source, survey
from pipeline.engine.steps.storing import one_line
from pipeline.engine.task import Pause, Task, TaskResult
from pipeline.errors import StageFailed
from pipeline.planning.plan import Plan, Step
from pipeline.stage import Compare, Stage, Unavailable

PhaseFunction = Callable[[Plan, Step, Stage[Any, Any], Task], TaskResult]

_PART: dict[str, PhaseFunction] = {"layer": rowwise.part, "children": rowwise.part, "survey": survey.part}
_PHASES: dict[str, PhaseFunction] = {
    "rows": source.rows,
    "piece": chunked.piece,
    "join": chunked.join,
    "tally": survey.tally,
    "fit": survey.fit,
    "assign": survey.assign,
    "settle": survey.settle,
    "launch": launch.launch,
}
_COMPARE_PHASES: dict[str, PhaseFunction] = {
    "tally": compare.tally,
    "fit": compare.fit,
    "assign": compare.assign,
    "settle": compare.settle,
    "part": compare.part,
}


class Worker:
    """Runs tasks of a plan.

    Args:
        share_pieces: Whether other workers may process the pieces of a row. If False, this worker makes
            each part in one task.
        opens: Whether stages are opened before their first task.
    """

    def __init__(self, plan: Plan, *, share_pieces: bool = False, opens: bool = True) -> None:
        self.plan, self.share_pieces, self.opens = plan, share_pieces, opens
        self._opened: dict[str, Stage[Any, Any]] = {}

    def open(self, step: Step) -> Stage[Any, Any]:
        """The stage of a step, with its models loaded.

        Raises:
            StageFailed: the stage cannot be opened; no row is at fault.
        """
        if not self.opens:
            return step.stage
        if step.name not in self._opened:
            try:
                step.stage.open()
            except ClipmillError:
                raise
            except Exception as error:
                raise _stage_failed(step, error, "could not be opened") from error
            self._opened[step.name] = step.stage
        return self._opened[step.name]

    def run(self, task: Task) -> TaskResult:
        """Run a task and commit its result. If its stage must wait, the result holds a pause instead.

        Raises:
            StageFailed: the stage failed, and no row is at fault.
            StoreFull: the disk of the store is full.
        """
        started_s, before = time.monotonic(), self.plan.store.bytes_written
        result = self._run(task)
        written = self.plan.store.bytes_written - before
        return replace(result, seconds=time.monotonic() - started_s, bytes_written=written)

    def _run(self, task: Task) -> TaskResult:
        step = self.plan[task.step]
        try:
            if task.phase == "close":
                return finalize.close_table(self.plan, step, task)
            if step.kind == "drops":
                return rule.part(self.plan, step, task)
            function, stage = self._phase_function(step, task), self.open(step)
            try:
                return function(self.plan, step, stage, task)
            except FileNotFoundError:
                if not isinstance(step.node.work, Compare):
                    raise
                # Another driver has completed the table and deleted its members. The results exist now.
                return function(self.plan, step, stage, task)
        except ClipmillError:
            raise
        except Unavailable as unavailable:
            pause = Pause(one_line(str(unavailable)), unavailable.retry_s, unavailable.patience_s)
            return TaskResult(pause=pause)
        except OSError as error:
            full = disk_full_error(error, str(error.filename or self.plan.store.url))
            raise (full if full is not error else _stage_failed(step, error, f"failed at {task}")) from error
        except Exception as error:
            raise _stage_failed(step, error, f"failed at {task}") from error

    def _phase_function(self, step: Step, task: Task) -> PhaseFunction:
        if isinstance(step.node.work, Compare):
            return _COMPARE_PHASES[task.phase]
        if task.phase != "part":
            return _PHASES[task.phase]
        if isinstance(step.node.work, Chunked):
            return chunked.part if self.share_pieces else chunked.join
        return _PART[step.kind]


def _stage_failed(step: Step, error: Exception, what: str) -> StageFailed:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return StageFailed(
        f"step {step.name} {what}: {type(error).__name__}: {error}",
        where=f"{frame.filename}, line {frame.lineno}",
        remedy="fix the stage or its settings and run again; finished parts are kept "
        "(--debug prints the whole traceback)",
    )
