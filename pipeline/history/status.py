"""The status of a store: how far each step of a run is, who holds the store, and which runs there were."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from manifests.store import Store
from pipeline.history.funnel import FunnelLine, aligned, lines_of
from pipeline.history.lease_holder import lease_holder
from pipeline.history.record import RUNNING, read_json
from pipeline.history.run_history import read_past, runs_of

_RUNS_SHOWN = 8


@dataclass(frozen=True)
class Status:
    """How a store is.

    Attributes:
        run: the run that was looked at; "" where the store has tables and no record.
        holder: who holds the store now (run, host, pid, beat), or None.
        runs: the runs so far with their state, oldest first.
    """

    store: str
    run: str
    lines: tuple[FunnelLine, ...]
    holder: Mapping[str, Any] | None
    runs: Mapping[str, str]

    def text(self) -> str:
        """For people."""
        head = ("step", "parts", "rows", "dropped", "rejected", "")
        rows = [
            (
                line.step,
                "done" if line.whole else f"{line.parts} of {'?' if line.of is None else line.of}",
                f"{line.left:,}",
                f"{line.dropped:,}" if line.dropped else "·",
                f"{line.rejected:,}" if line.rejected else "·",
                line.says if line.kind == "drops" else "",
            )
            for line in self.lines
        ]
        left = sum(not line.whole for line in self.lines)
        said = [f"store  {self.store}", f"run    {self.run or 'none recorded: all tables of the store'}"]
        said += [f"held   {_holder(self.holder)}", "", *aligned([head, *rows]), ""]
        said += [f"{left} of {len(self.lines)} steps are not finished" if left else "every step is finished"]
        shown = list(self.runs.items())[-_RUNS_SHOWN:]
        said += ["", f"the last {len(shown)} of {len(self.runs)} runs:"] if shown else []
        return "\n".join([*said, *(f"  {run}  {state}" for run, state in shown)])

    def plain(self) -> dict[str, Any]:
        """For machines."""
        steps = [{**vars(line)} for line in self.lines]
        holder = dict(self.holder) if self.holder else None
        said = {"store": self.store, "run": self.run, "holder": holder}
        return {**said, "steps": steps, "runs": dict(self.runs)}


def status_of(store: Store, run: str = "") -> Status:
    """The status of a store as a run sees it, the last run by default.

    Raises:
        PipelineError: nothing was ever run here.
    """
    past = read_past(store, run)
    holder = lease_holder(store)
    runs = {name: _state(store, name, holder) for name in runs_of(store)}
    return Status(store.url, past.run, lines_of(past), holder, runs)


def _state(store: Store, run: str, holder: Mapping[str, Any] | None) -> str:
    """As `Record.end` says, or running; killed, if it says that it runs and does not hold the store."""
    state = str(read_json(store, run, "timings.json").get("state", "ended before it had a plan"))
    living = holder is not None and holder["run"] == run
    return "killed" if state == RUNNING and not living else state


def _holder(holder: Mapping[str, Any] | None) -> str:
    if holder is None:
        return "by nobody"
    ago = max(0.0, time.time() - holder["beat"])
    return f"by run {holder['run']} (process {holder['pid']} on {holder['host']}, seen {ago:.0f} s ago)"
