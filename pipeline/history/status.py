"""The status of a store: the progress of each step, the run that holds the store, and the recorded runs."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from manifests.store import Store
from pipeline.history.funnel import FunnelLine, align_columns, funnel_lines
from pipeline.history.lease_holder import lease_holder
from pipeline.history.record import RUNNING, read_json
from pipeline.history.run_history import read_history, run_names

_MAX_RUNS = 8  # runs that the text lists
_NODE_HEAD = ("node", "cpus", "workers", "tasks", "busy seconds")


@dataclass(frozen=True)
class Status:
    """The status of a store.

    Attributes:
        store: Path or URL of the store.
        run: The run whose steps are listed; "" if the store has tables but no recorded run.
        lines: The row counts of each step.
        holder: The run that holds the store now (run, host, pid, age_s, …), or None.
        runs: The recorded runs with their states, oldest first.
        nodes: CPU cores, started workers, finished tasks and busy seconds of each node, if Ray runs the plan.
    """

    store: str
    run: str
    lines: tuple[FunnelLine, ...]
    holder: Mapping[str, Any] | None
    runs: Mapping[str, str]
    nodes: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def text(self) -> str:
        """The status as text."""
        head = ("step", "parts", "rows", "dropped", "rejected", "errors", "")
        rows = [
            (
                line.step,
                "done" if line.complete else f"{line.parts} of {line.total_parts or '?'}",
                f"{line.rows_to_next:,}",
                f"{line.dropped:,}" if line.dropped else "·",
                f"{line.rejected:,}" if line.rejected else "·",
                f"{line.errors:,}" if line.errors else "·",
                line.description if line.kind == "drops" else "",
            )
            for line in self.lines
        ]
        left = sum(not line.complete for line in self.lines)
        lines = [f"store  {self.store}", f"run    {self.run or 'none recorded: all tables of the store'}"]
        lines += [f"held   {_holder_text(self.holder)}", "", *align_columns([head, *rows]), ""]
        lines += [f"{left} of {len(self.lines)} steps are not finished" if left else "every step is finished"]
        nodes = [_node_line(*node) for node in self.nodes.items()]
        lines += ["", *align_columns([_NODE_HEAD, *nodes])] if nodes else []
        shown = list(self.runs.items())[-_MAX_RUNS:]
        lines += ["", f"runs (last {len(shown)} of {len(self.runs)}, newest last):"] if shown else []
        return "\n".join([*lines, *(f"  {run}  {state}" for run, state in shown)])

    def as_dict(self) -> dict[str, Any]:
        """The status as JSON values."""
        steps = [asdict(line) for line in self.lines]
        holder = dict(self.holder) if self.holder else None
        status = {"store": self.store, "run": self.run, "holder": holder}
        return {**status, "steps": steps, "runs": dict(self.runs), "nodes": dict(self.nodes)}


def status_of(store: Store, run: str = "") -> Status:
    """The status of a store and of one of its runs, by default the last one.

    Raises:
        PipelineError: no recipe was run in the store yet.
    """
    history = read_history(store, run)
    holder = lease_holder(store)
    runs = {name: run_state(store, name, holder) for name in run_names(store)}
    nodes = read_json(store, history.run, "timings.json").get("nodes", {})
    return Status(store.url, history.run, funnel_lines(history), holder, runs, nodes)


def run_state(store: Store, run: str, holder: Mapping[str, Any] | None) -> str:
    """The recorded state of a run; "killed" if it says "running" but the run does not hold the store."""
    state = str(read_json(store, run, "timings.json").get("state", "ended before it had a plan"))
    is_alive = holder is not None and holder["run"] == run
    return "killed" if state == RUNNING and not is_alive else state


def _node_line(name: str, work: Mapping[str, float]) -> tuple[str, ...]:
    """What a node did. Runs of an earlier version recorded no cores and no workers."""
    cpus, workers = (f"{work[key]:,}" if key in work else "?" for key in ("cpus", "workers"))
    return name, cpus.removesuffix(".0"), workers, f"{work['tasks']:,}", f"{work['busy_s']:,.1f}"


def _holder_text(holder: Mapping[str, Any] | None) -> str:
    if holder is None:
        return "by no run"
    age_s = max(0.0, holder["age_s"])
    process = f"process {holder['pid']} on {holder['host']}"
    return f"by run {holder['run']} ({process}, last heartbeat {age_s:.0f} s ago)"
