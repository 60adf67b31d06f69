"""Connects to the Ray cluster at an address, or starts a local one for the time of the run."""

import logging
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError

from pipeline.engine.steps.storing import one_line
from pipeline.errors import PipelineError
from pipeline.executors.on_ray.watch import StartWatch, Watch, local_watch, remote_watch

PACKAGES = ("manifests", "pipeline", "stages", "training")  # they are sent to the nodes of a cluster
_NO_CLUSTER = (
    "start a cluster with `ray start --head` (if that created a token, set RAY_AUTH_MODE=token here), "
    "or remove ray_address to use this machine"
)
_NO_RAY = "check that memory and CPU cores are free and run again, or add --inline"
_NOTICE_S = 0.5  # seconds until a process that was killed is seen to have ended
_JOB = "RAY_JOB_CONFIG_JSON_ENV_VAR"  # Ray sets it for the driver of a job


@contextmanager
def cluster(
    address: str | None, workers: int, *, start_watch: StartWatch | None = None, debug: bool = False
) -> Iterator[Watch]:
    """Connect to a cluster; disconnect on exit. Gives a watch of its processes.

    Args:
        address: Address of a running cluster; None starts one on this machine.
        workers: Number of CPU cores of that one; 0 takes all.
        start_watch: Forgets the processes of a start that has failed.
        debug: Whether Ray prints its messages and those of its processes.

    Raises:
        PipelineError: there is no cluster at `address`.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    if ray.is_initialized():
        yield Watch({})
        return
    _connect(address, workers, start_watch or StartWatch(), debug)
    watch = remote_watch() if address else local_watch()
    try:
        yield watch
    except RayError:
        time.sleep(_NOTICE_S)  # a call may fail before it is seen that a process has died
        watch.check()
        raise
    finally:
        watch.stop()
        ray.shutdown()


def _connect(address: str | None, workers: int, start_watch: StartWatch, debug: bool) -> None:
    """Connect to the cluster at `address`, or start one here; a slow machine may need three attempts."""
    from ray._private import worker

    level = logging.INFO if debug else logging.ERROR
    logging.getLogger("ray").setLevel(level)  # ray.init sets it too late for its own warnings
    worker._worker_logs_enabled = debug  # `log_to_driver` leaves out what Ray says of dead processes
    paths = os.pathsep.join(path for path in sys.path if path)
    options: dict[str, Any] = {"logging_level": level, "log_to_driver": debug}
    if address:
        options["runtime_env"] = {"env_vars": {"PYTHONPATH": paths}}
        if _JOB not in os.environ:  # a job brings the packages in its working folder
            options["runtime_env"]["py_modules"] = [str(folder) for folder in package_folders()]
    else:
        options |= {"include_dashboard": False, "object_store_memory": 128 << 20}
        options["num_cpus"] = max(workers, os.cpu_count() or 1)
    for last in (bool(address), False, True):  # each waits 30 s at most, which Ray has fixed
        try:
            with _python_path(paths), _own_process_groups():  # a runtime_env takes 1 s longer
                ray.init(address=address or "local", **options)
            return
        except Exception as error:  # Ray raises a plain Exception if a node starts slowly
            ray.shutdown()
            start_watch.forget()
            if last:
                raise PipelineError(
                    f"no Ray cluster answers at {address}"
                    if address
                    else "Ray did not start on this machine",
                    where=one_line(str(error)),
                    remedy=_NO_CLUSTER if address else _NO_RAY,
                ) from error


def package_folders() -> list[Path]:
    """The folders of the packages of clipmill on this machine."""
    specs = [find_spec(name) for name in PACKAGES]
    return [Path(spec.origin).parent for spec in specs if spec and spec.origin]


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
