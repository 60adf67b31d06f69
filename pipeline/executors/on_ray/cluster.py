"""Connects to the Ray cluster at an address, or starts a local one for the time of the run."""

import importlib.util
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import ray

from pipeline.engine.steps.storing import one_line
from pipeline.errors import PipelineError, PlanError
from pipeline.planning.plan import Plan

_NO_CLUSTER = (
    "start a cluster with `ray start --head` (if that created a token, set RAY_AUTH_MODE=token here), "
    "or remove ray_address to use this machine"
)
_NO_RAY = "check that memory and CPU cores are free and run again, or add --inline"
_PACKAGES = ("manifests", "pipeline", "stages", "training")


@contextmanager
def cluster(address: str | None, workers: int) -> Iterator[None]:
    """Connect to a cluster; disconnect on exit.

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
    """Connect to the cluster at `address`, or start one here; a slow machine may need a second attempt."""
    paths = os.pathsep.join(path for path in sys.path if path)
    options: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    if address:
        options["runtime_env"] = {"env_vars": {"PYTHONPATH": paths}, "py_modules": _packages()}
    else:
        options |= {"include_dashboard": False, "object_store_memory": 128 << 20}
        options["num_cpus"] = max(workers, os.cpu_count() or 1)
    for last in (bool(address), True):
        try:
            with _python_path(paths), _own_process_groups():  # a runtime_env takes 1 s longer
                ray.init(address=address or "local", **options)
            return
        except Exception as error:  # Ray raises a plain Exception if a node starts slowly
            ray.shutdown()
            if last:
                raise PipelineError(
                    f"no Ray cluster answers at {address}"
                    if address
                    else "Ray did not start on this machine",
                    where=one_line(str(error)),
                    remedy=_NO_CLUSTER if address else _NO_RAY,
                ) from error


@contextmanager
def _own_process_groups() -> Iterator[None]:
    """Start Ray's processes outside the process group of this one.

    A signal to the group (`kill -TERM -- -PGID`, a closed terminal) then reaches only this process, which
    stops the run and then Ray. If this process is killed, Linux kills the processes of Ray.
    """
    from ray._private import services

    popen = services.ConsolePopen
    services.ConsolePopen = partial(popen, process_group=0)
    try:
        yield
    finally:
        services.ConsolePopen = popen


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


def node_cores() -> dict[str, float]:
    """The logical CPU cores of each live node, by node id."""
    return {str(node["NodeID"]): float(node["Resources"].get("CPU", 0.0)) for node in _live_nodes()}


def check_resources(plan: Plan) -> None:
    """Fail before anything runs if no node can hold a worker of some step.

    Raises:
        PlanError: a step needs more GPUs or memory than any node has, or a launch more GPUs than all.
    """
    resources = [node["Resources"] for node in _live_nodes()]
    gpus = sum(float(node.get("GPU", 0.0)) for node in resources)
    for step in plan:
        needs = step.node.needs
        if step.kind == "model" and needs.gpus * needs.ranks > gpus:
            raise PlanError(
                f"step {step.name} needs {needs.ranks} ranks of {needs.gpus:g} GPUs; all nodes have {gpus:g}",
                remedy="request fewer ranks with `.on(ranks=…)`, or use a cluster with more GPUs",
            )
        required = {"GPU": needs.gpus, "memory": needs.memory_gb * 2**30}
        for name, amount in required.items():
            available = max((float(node.get(name, 0.0)) for node in resources), default=0.0)
            if amount > available:
                scale, unit = (2**30, " GiB") if name == "memory" else (1, "")
                raise PlanError(
                    f"step {step.name} needs {name} {amount / scale:g}{unit}; "
                    f"the largest node has {available / scale:g}{unit}",
                    remedy="request less with `.on(…)`, or use a cluster with larger nodes",
                )


def _live_nodes() -> list[dict[str, Any]]:
    return [node for node in ray.nodes() if node["Alive"]]


def _packages() -> list[str]:
    """The folders of our packages, which are sent to the nodes of a cluster."""
    found = []
    for name in _PACKAGES:
        spec = importlib.util.find_spec(name)
        if spec and spec.origin:
            found.append(str(Path(spec.origin).parent))
    return found
