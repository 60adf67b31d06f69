"""A worker: holds a plan and opened stages, does one task after the other, commits what it made.

It is the same object in every executor. A task that was done before is seen to be done by what
stands in the store, so that doing a task twice is harmless.
"""

import traceback
from collections.abc import Callable
from typing import Any

from manifests.errors import ClipmillError, disk_full_error
from pipeline.chunked import Chunked
from pipeline.engine.steps import chunked, compare, finalize, launch, rowwise, rule, source, survey
from pipeline.engine.steps.storing import one_line
from pipeline.engine.task import Done, Pause, Task
from pipeline.errors import StageFailed
from pipeline.planning.plan import Plan, Step
from pipeline.stage import Compare, Stage, Unavailable

Doing = Callable[[Plan, Step, Stage[Any, Any], Task], Done]

_PART: dict[str, Doing] = {"layer": rowwise.part, "children": rowwise.part, "survey": survey.part}
_PHASES: dict[str, Doing] = {
    "rows": source.rows,
    "piece": chunked.piece,
    "join": chunked.join,
    "tally": survey.tally,
    "fit": survey.fit,
    "assign": survey.assign,
    "settle": survey.settle,
    "launch": launch.launch,
}
_COMPARED: dict[str, Doing] = {
    "tally": compare.tally,
    "fit": compare.fit,
    "assign": compare.assign,
    "settle": compare.settle,
    "part": compare.part,
}


class Worker:
    """Does tasks of a plan.

    Args:
        spread: whether others may take the pieces of a row; else a part is made in one go.
    """

    def __init__(self, plan: Plan, *, spread: bool = False) -> None:
        self.plan, self.spread = plan, spread
        self._opened: dict[str, Stage[Any, Any]] = {}

    def open(self, step: Step) -> Stage[Any, Any]:
        """The step's stage with its models built.

        Raises:
            StageFailed: it cannot be opened, which is no row's fault.
        """
        if step.name not in self._opened:
            try:
                step.stage.open()
            except ClipmillError:
                raise
            except Exception as error:
                raise _failed(step, error, "could not be opened") from error
            self._opened[step.name] = step.stage
        return self._opened[step.name]

    def do(self, task: Task) -> Done:
        """Do a task and commit its result; or, where its stage must wait for something, say so.

        Raises:
            StageFailed: the stage broke in a way that is no row's fault.
            StoreFull: no room is left.
        """
        step = self.plan[task.step]
        try:
            if task.phase == "close":
                return finalize.close(self.plan, step, task)
            if step.kind == "drops":
                return rule.part(self.plan, step, task)
            return self._doing(step, task)(self.plan, step, self.open(step), task)
        except ClipmillError:
            raise
        except Unavailable as away:
            return Done(pause=Pause(one_line(str(away)), away.retry_s, away.patience_s))
        except OSError as error:
            told = disk_full_error(error, self.plan.store.url)
            raise (told if told is not error else _failed(step, error, f"failed at {task}")) from error
        except Exception as error:
            raise _failed(step, error, f"failed at {task}") from error

    def _doing(self, step: Step, task: Task) -> Doing:
        if isinstance(step.node.work, Compare):
            return _COMPARED[task.phase]
        if task.phase != "part":
            return _PHASES[task.phase]
        if isinstance(step.node.work, Chunked):
            return chunked.part if self.spread else chunked.join
        return _PART[step.kind]


def _failed(step: Step, error: Exception, what: str) -> StageFailed:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return StageFailed(
        f"step {step.name} {what}: {type(error).__name__}: {error}",
        where=f"{frame.filename}, line {frame.lineno}",
        remedy="mend the stage or its settings and run again; finished parts are kept (--debug shows all)",
    )
