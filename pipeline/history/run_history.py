"""The plan of a run as the record that the verbs of this package and `manifests.clips` read."""

from dataclasses import asdict

from manifests.catalog import RUNS as RUNS
from manifests.manifest import columns_of
from manifests.runs.run_history import RunHistory as RunHistory
from manifests.runs.run_history import StepHistory as StepHistory
from manifests.runs.run_history import read_history as read_history
from manifests.runs.run_history import read_plan as read_plan
from manifests.runs.run_history import run_names as run_names
from manifests.runs.run_history import runs_named as runs_named
from pipeline.planning.plan import Plan


def history_of_plan(plan: Plan) -> RunHistory:
    """Convert a plan to JSON values."""
    steps = {
        step.name: StepHistory(
            name=step.name,
            kind=step.kind,
            folder=step.folder,
            base=step.base,
            root=step.root,
            parents=step.parents,
            depth=step.depth,
            inputs=step.node.inputs,
            reads=dict(step.reads),
            keys={"run": step.keys.run, "content": step.keys.content},
            made_by=step.made_by(),
            columns=columns_of(step.schema),
            needs=asdict(step.node.needs),
            notes=step.notes(),
        )
        for step in plan
    }
    return RunHistory(plan.store, plan.run, plan.dag, steps, plan.outputs)
