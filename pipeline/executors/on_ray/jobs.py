"""Jobs of Ray: a driver that runs on the cluster and does not need the machine that started it."""

import asyncio
import logging
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline.engine.steps.storing import one_line
from pipeline.errors import PipelineError
from pipeline.recipes.redaction import redact_urls

ENTRY_POINT = "python -m pipeline.submitted"
_SET_ENVIRONMENT = "pipeline.verbs.cluster.job.set_environment"
_ADDRESSES = ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")  # Ray prefers them to the address that it is given
_STOPPED = 130
_EXISTS = "already exists"  # words of the server
_PAUSES_S = (1.0, 3.0, 9.0)  # before a request is repeated whose connection broke
_LOGGERS = (  # of each upload
    "ray.dashboard.modules.dashboard_sdk",
    "ray.dashboard.modules.job.sdk",
    "ray._private.runtime_env.packaging",
)


class Jobs:
    """The jobs of the cluster whose dashboard is at `address`.

    Args:
        address: URL of the dashboard, such as "http://head:8265"; None takes it from the environment, or the
            cluster of this machine.

    Raises:
        PipelineError: no dashboard answers there.
    """

    def __init__(self, address: str | None) -> None:
        from ray.job_submission import JobSubmissionClient

        for name in _LOGGERS:
            logging.getLogger(name).setLevel(logging.ERROR)
        with _readable_errors(address or ""), _without_addresses(bool(address)):
            self._client = JobSubmissionClient(address)
        self.address = redact_urls(str(self._client.get_address()))

    def submit(
        self, job_id: str, folder: Path, metadata: Mapping[str, str], *, has_environment: bool
    ) -> None:
        """Start a job in a copy of `folder`, which has its description.

        Raises:
            PipelineError: the cluster refused the job.
        """
        runtime: dict[str, Any] = {"working_dir": str(folder)}
        if has_environment:  # as a file, because everybody who sees the dashboard can read `env_vars`
            runtime["worker_process_setup_hook"] = _SET_ENVIRONMENT
        is_repeated = False
        for pause_s in (*_PAUSES_S, None):
            try:
                with _readable_errors(self.address):
                    self._client.submit_job(
                        entrypoint=ENTRY_POINT,
                        submission_id=job_id,
                        runtime_env=dict(runtime),
                        metadata=dict(metadata),
                    )
                return
            except PipelineError as error:
                if is_repeated and _EXISTS in str(error):
                    return  # an earlier request arrived, and its answer was lost
                if not isinstance(error.__cause__, OSError) or pause_s is None:
                    raise
            is_repeated = True
            time.sleep(pause_s)

    def follow(self, job_id: str) -> int:
        """Print the log of a job until it ends. Returns its exit code; Ctrl-C ends only the printing."""
        try:
            with _readable_errors(self.address):
                asyncio.run(self._print_log(job_id))
        except KeyboardInterrupt:
            print(f"\nthe job goes on; stop it with: ray job stop {job_id} --address {self.address}")
            return _STOPPED
        with _readable_errors(self.address):
            info = self._client.get_job_info(job_id)
        code = info.driver_exit_code
        if str(info.status) != "SUCCEEDED" and code is None:
            print(f"job {job_id} ended as {info.status}: {info.message}")
        return (0 if str(info.status) == "SUCCEEDED" else 1) if code is None else int(code)

    async def _print_log(self, job_id: str) -> None:
        async for lines in self._client.tail_job_logs(job_id):
            print(lines, end="", flush=True)


@contextmanager
def _without_addresses(is_given: bool) -> Iterator[None]:
    """Hide the addresses in the environment while another one is used."""
    before = {name: os.environ.pop(name) for name in _ADDRESSES if is_given and name in os.environ}
    try:
        yield
    finally:
        os.environ.update(before)


@contextmanager
def _readable_errors(address: str) -> Iterator[None]:
    from ray.exceptions import RayError

    try:
        yield
    except (RayError, RuntimeError, ValueError, OSError) as error:
        text = one_line(redact_urls(_last_line(str(error))))
        remedy = "check the address: it is that of the dashboard, http://HEAD:8265"
        if _EXISTS in text:
            remedy = "choose another --job-id, or leave it out"
        elif "uthentication" in str(error):
            remedy = "set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN here to the token of the cluster"
        elif "ray[default]" in text:
            remedy = "pip install 'clipmill[cluster]'"
        raise PipelineError(
            "the cluster did not accept the command", where=f"{redact_urls(address)}: {text}", remedy=remedy
        ) from error


def _last_line(text: str) -> str:
    """What an error says: the server sends a traceback, whose last line is the message."""
    lines = [line.strip() for line in text.splitlines() if len(line.strip()) > 1]
    return lines[-1] if "Traceback" in text and lines else text
