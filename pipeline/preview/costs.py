"""What a run will cost, from a forecast and from what its steps cost in earlier runs of the store."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from manifests.schema import ARTIFACT
from manifests.table import part_name, parts_of, read_part
from pipeline.history.timings import EarlierTimings, earlier_timings
from pipeline.planning.plan import Plan, Step
from pipeline.preview.forecast import StepForecast

_MAX_PARTS = 24  # parts of an earlier table whose files are counted, evenly spaced


@dataclass(frozen=True)
class StepCost:
    """What one step will cost. None: unknown.

    Attributes:
        rows: Rows on which the step has to run, including expected ones.
        is_exact: Whether `rows` is exact.
        seconds: Seconds of work, as in earlier runs.
        video_s: Seconds of video to decode; 0 for a step that decodes none.
        bytes_read: Bytes of source files to read for them.
        bytes_written: Bytes of files to write, as in earlier runs.
    """

    rows: float | None = 0.0
    is_exact: bool = True
    seconds: float | None = 0.0
    video_s: float | None = 0.0
    bytes_read: float | None = 0.0
    bytes_written: float | None = 0.0


@dataclass(frozen=True)
class Costs:
    """What a run will cost.

    Attributes:
        steps: The cost of each step by name.
        seconds: Duration of the run in seconds, without the steps in `not_timed`; None if no step is timed.
        not_timed: Names of steps that have to run, and that no earlier run of the store timed.
        runs: Number of earlier runs that timed steps.
    """

    steps: Mapping[str, StepCost]
    seconds: float | None
    not_timed: tuple[str, ...]
    runs: int

    def total(self, what: str) -> float:
        """The sum of "video_s", "bytes_read" or "bytes_written" over the steps for which it is known."""
        return sum(getattr(cost, what) or 0.0 for cost in self.steps.values())


def costs_of(plan: Plan, steps: Sequence[StepForecast]) -> Costs:
    """Estimate what the run of a forecast will cost."""
    earlier = earlier_timings(plan)
    rows_out: dict[str, float | None] = {}
    costs: dict[str, StepCost] = {}
    bytes_per_s = _bytes_per_s(steps)
    for found in steps:
        rows_in = _rows_in(found, rows_out)
        rows_out[found.step.name] = _rows_out(plan, found, rows_in, earlier)
        costs[found.step.name] = _cost(plan, found, rows_in, earlier, bytes_per_s)
    todo = [found for found in steps if _takes_time(found, costs[found.step.name])]
    timed = [costs[f.step.name].seconds for f in todo if f.step.kind != "model"]
    launches = [costs[f.step.name].seconds for f in todo if f.step.kind == "model"]
    not_timed = tuple(found.step.name for found in todo if costs[found.step.name].seconds is None)
    known = [seconds for seconds in (*timed, *launches) if seconds is not None]
    if todo and not known:
        return Costs(costs, None, not_timed, earlier.runs)
    work_s = sum(seconds or 0.0 for seconds in timed) / max(earlier.workers, 1.0)
    seconds = work_s + sum(each or 0.0 for each in launches) + (earlier.overhead_s if known else 0.0)
    return Costs(costs, seconds, not_timed, earlier.runs)


def _takes_time(found: StepForecast, cost: StepCost) -> bool:
    return not found.complete and found.step.kind not in ("source", "drops") and cost.rows != 0


def _rows_in(found: StepForecast, rows_out: Mapping[str, float | None]) -> float | None:
    """How many rows will enter all parts of a step; None if it is unknown."""
    if not found.step.node.inputs:
        return None if found.rows is None else float(found.rows)
    before = [rows_out[name] for name in found.step.node.inputs]
    known = [rows for rows in before if rows is not None]
    return min(known) if len(known) == len(before) else None


def _rows_out(plan: Plan, found: StepForecast, rows: float | None, earlier: EarlierTimings) -> float | None:
    """How many rows a step will pass on: the known ones, and the others at the share of the known ones."""
    step, counts = found.step, found.counts
    if found.complete or step.kind == "model":
        return 1.0 if step.kind == "model" else float(_stored_rows(plan, step))
    if not step.node.inputs or rows is None:
        return rows
    rate = counts.passed / counts.decided if counts.decided else earlier.rates.get(step.name)
    if step.kind != "drops":  # rows that failed or have no children are not decided
        rate = earlier.rates.get(step.name, rate)
    others = max(rows - counts.decided, 0.0)
    if not others:
        return float(counts.passed)
    return None if rate is None else counts.passed + others * rate


def _stored_rows(plan: Plan, step: Step) -> int:
    """How many rows a complete table passes on."""
    from manifests.manifest import read_manifest

    manifest = read_manifest(plan.store, step.folder)
    if manifest is None:
        return 0
    counts = manifest.row_counts
    return counts.rows_out if step.kind in ("source", "children") else counts.passed


def _cost(
    plan: Plan, found: StepForecast, rows_in: float | None, earlier: EarlierTimings, bytes_per_s: float | None
) -> StepCost:
    step, counts = found.step, found.counts
    if found.complete:
        return StepCost()
    if not step.node.inputs:
        return StepCost(rows=None if found.rows is None else float(found.rows - found.reused))
    is_exact = found.is_exact and found.new is not None
    rows: float | None = float(found.new or 0) if is_exact else None
    if rows is None and rows_in is not None:
        rows = max(rows_in - counts.existing - found.reused - found.resumed, 0.0)
    if step.kind == "drops" or rows is None:
        unknown = None if rows is None else 0.0
        return StepCost(rows, is_exact, unknown, unknown, unknown, unknown)
    row_s, row_bytes = earlier.row_s.get(step.name), _bytes_per_row(plan, step, earlier)
    times = 1.0 if step.kind == "model" else rows
    video_s = _video_s(found, rows, bytes_per_s)
    before = counts.timed - counts.new_timed
    if row_s is not None and video_s and before:  # longer videos take longer
        row_s *= (video_s / rows) / ((counts.seconds - counts.new_seconds) / before)
    rate = bytes_per_s or 0.0
    read = video_s and (float(counts.new_bytes) if counts.new_bytes else video_s * rate)
    return (
        StepCost(rows, is_exact, row_s and times * row_s, video_s, read, row_bytes and times * row_bytes)
        if rows
        else StepCost(0.0, is_exact)
    )


def _video_s(found: StepForecast, rows: float, bytes_per_s: float | None) -> float | None:
    """Seconds of video that a step decodes: of known rows, by the sizes of new files, else the mean."""
    counts = found.counts
    if not found.decodes:
        return 0.0
    others = max(rows - counts.new_timed, 0.0)
    if counts.new_bytes and not counts.new_timed and bytes_per_s:
        return counts.new_bytes / bytes_per_s  # files that no step has opened yet
    if others and not counts.timed:
        return None
    return counts.new_seconds + (others * counts.seconds / counts.timed if others else 0.0)


def _bytes_per_s(steps: Sequence[StepForecast]) -> float | None:
    """Bytes of source files per second of video; None if it is unknown."""
    sized = [found.counts for found in steps if found.counts.size_bytes and found.counts.seconds]
    return sized[0].size_bytes / sized[0].seconds if sized else None


def _bytes_per_row(plan: Plan, step: Step, earlier: EarlierTimings) -> float | None:
    """Mean size of the files that a step wrote for a row in the newest earlier run; None without one."""
    names = [f.name for f, kind in zip(step.schema, step.schema.types, strict=True) if kind == ARTIFACT]
    if not names:
        return 0.0
    folder = earlier.folders.get(step.name)
    numbers = parts_of(plan.store, folder) if folder else []
    files: dict[str, int] = {}
    rows = 0
    for number in numbers[:: max(1, -(-len(numbers) // _MAX_PARTS))]:
        part = read_part(plan.store, f"{folder}/{part_name(number)}", names)
        rows += part.num_rows
        for name in names:
            files.update({a["path"]: a["size_bytes"] for a in part.column(name).to_pylist() if a})
    return sum(files.values()) / rows if rows else None
