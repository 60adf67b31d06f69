"""Chooses the run with which `clipmill try` compares, and fills in the knobs that the user does not name."""

from pathlib import Path
from typing import Any

from manifests.store import Store
from pipeline.errors import PipelineError
from pipeline.history.record import DONE, read_json
from pipeline.history.run_history import RunHistory, read_history, run_names
from pipeline.planning.plan import Plan, build_plan
from pipeline.recipes.recipe import build_dag, load_recipe
from pipeline.recipes.redaction import REDACTED
from pipeline.recipes.request import RunRequest


def find_run(
    store: Store, request: RunRequest, run: str
) -> tuple[RunHistory, Plan, dict[str, tuple[Any, Any]]]:
    """The run to compare with, the plan with the changed knobs, and the knobs that differ.

    Of the finished runs over the same source rows, this is the newest one of the same recipe file; else of a
    recipe whose DAG has the same name, as a YAML recipe that `clipmill yaml` printed has; else of any recipe.

    Raises:
        PipelineError: there is no finished run whose source lists the same rows.
    """
    recipe = load_recipe(request.recipe)
    found: dict[int, tuple[RunHistory, Plan, dict[str, str]]] = {}
    for candidate in [run] if run else _finished_runs(store):
        recorded, history = read_json(store, candidate, "request.json"), read_history(store, candidate)
        is_same_file = Path(str(recorded.get("recipe", ""))).name == Path(request.recipe).name
        names = recipe.knob_names()
        knobs = {k: v for k, v in recorded.get("knobs", {}).items() if k in names and v != REDACTED}
        required = [k.name for k in recipe.knobs if k.required and k.name not in {**knobs, **request.knobs}]
        if required and not (run or is_same_file):
            continue  # a run of another recipe, which has no such knob
        plan = build_plan(build_dag(recipe, {**knobs, **request.knobs}), store, "try")
        sources = [step for step in plan if step.kind == "source"]
        if all(s.name in history.steps and history[s.name].folder == s.folder for s in sources):
            rank = 0 if is_same_file else 1 if history.dag == plan.dag else 2
            found.setdefault(rank, (history, plan, knobs))
            if rank == 0:
                break
    if not found:
        build_dag(recipe, request.knobs)  # an error if a required knob is missing
        raise _no_run(store, Path(request.recipe).name, run)
    history, plan, knobs = found[min(found)]
    values = {k: k.read(knobs[k.name]) if k.name in knobs else k.default for k in recipe.knobs}
    pairs = {k.name: (old, k.read(request.knobs.get(k.name, old))) for k, old in values.items()}
    return history, plan, {knob: pair for knob, pair in pairs.items() if pair[0] != pair[1]}


def _finished_runs(store: Store) -> list[str]:
    """The names of the finished runs, newest first.

    Raises:
        PipelineError: there is none.
    """
    runs = run_names(store)
    finished = [
        name for name in reversed(runs) if read_json(store, name, "timings.json").get("state") == DONE
    ]
    if not finished:
        raise PipelineError(
            f"no run of this store is finished; {len(runs)} are recorded"
            if runs
            else "no recipe was run in this store yet, or there is no store",
            where=store.url,
            remedy="run the recipe first: clipmill run RECIPE store=DIR",
        )
    return finished


def _no_run(store: Store, recipe: str, run: str) -> PipelineError:
    what = f"run {run} lists" if run else "the finished runs of this store list"
    return PipelineError(
        f"{what} other source rows than {recipe} does now",
        where=store.url,
        remedy="run the recipe with clipmill run: the footage or the settings of the source have changed",
    )
