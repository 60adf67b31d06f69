"""The Ray cluster under a run: the one at an address, or a local one for as long as the run lasts."""

import importlib.util
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray

from pipeline.engine.steps.storing import one_line
from pipeline.errors import PipelineError, PlanError
from pipeline.planning.plan import Plan

_NO_CLUSTER = (
    "start one with `ray start --head` (where that made a token, set RAY_AUTH_MODE=token here), "
    "or leave ray_address away to use this machine"
)
_NO_RAY = "see whether memory and cores are free and run again, or add --inline"
_OURS = ("manifests", "pipeline", "stages", "training")


@contextmanager
def cluster(address: str | None, workers: int) -> Iterator[None]:
    """Be connected to a cluster.

    Raises:
        PipelineError: there is no cluster at `address`.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    if ray.is_initialized():
        yield
        return
    _connect(address, workers)
    try:
        yield
    finally:
        ray.shutdown()


def _connect(address: str | None, workers: int) -> None:
    """Join the cluster at `address`, or start one here; a slow machine may need a second try for that."""
    paths = os.pathsep.join(path for path in sys.path if path)
    options: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    if address:
        options["runtime_env"] = {"env_vars": {"PYTHONPATH": paths}, "py_modules": _packages()}
    else:
        options |= {"include_dashboard": False, "object_store_memory": 128 << 20}
        options["num_cpus"] = max(workers, os.cpu_count() or 1)
    for last in (bool(address), True):
        try:
            with _python_path(paths):  # inherited by what is started here; a runtime_env costs a second more
                ray.init(address=address or "local", **options)
            return
        except Exception as error:  # Ray raises a bare Exception where a node is slow to start
            ray.shutdown()
            if last:
                raise PipelineError(
                    f"no Ray cluster answers at {address}" if address else "Ray could not be started here",
                    where=one_line(str(error)),
                    remedy=_NO_CLUSTER if address else _NO_RAY,
                ) from error


@contextmanager
def _python_path(paths: str) -> Iterator[None]:
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = paths
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before


def nodes() -> dict[str, float]:
    """The living nodes and their logical cores."""
    return {str(node["NodeID"]): float(node["Resources"].get("CPU", 0.0)) for node in _living()}


def check_room(plan: Plan) -> None:
    """Fail before anything runs if no node can ever hold a worker of some step.

    Raises:
        PlanError: a step needs more GPUs or memory than any node has, or a launch more GPUs than all.
    """
    found = [node["Resources"] for node in _living()]
    gpus = sum(float(node.get("GPU", 0.0)) for node in found)
    for step in plan:
        needs = step.node.needs
        if step.kind == "model" and needs.gpus * needs.ranks > gpus:
            raise PlanError(
                f"step {step.name} needs {needs.ranks} ranks of {needs.gpus:g} GPUs; all nodes have {gpus:g}",
                remedy="ask for fewer ranks with `.on(ranks=…)`, or run on a cluster that has them",
            )
        wanted = {"GPU": needs.gpus, "memory": needs.memory_gb * 2**30}
        for name, amount in wanted.items():
            most = max((float(node.get(name, 0.0)) for node in found), default=0.0)
            if amount > most:
                unit = 2**30 if name == "memory" else 1
                raise PlanError(
                    f"step {step.name} needs {name} {amount / unit:g}; the largest node has {most / unit:g}",
                    remedy="ask for less with `.on(…)`, or run on a cluster that has it",
                )


def _living() -> list[dict[str, Any]]:
    return [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]


def _packages() -> list[str]:
    """The folders of our packages, which a cluster's machines need not have installed."""
    found = []
    for name in _OURS:
        spec = importlib.util.find_spec(name)
        if spec and spec.origin:
            found.append(str(Path(spec.origin).parent))
    return found
