"""Runs the ranks of a launch as processes on this machine, without Ray, like torchrun."""

import multiprocessing
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess

from pipeline.engine.task import Task, TaskResult
from pipeline.engine.worker import Worker
from pipeline.errors import StageFailed
from pipeline.planning.plan import Plan


def run_ranks(plan: Plan, task: Task) -> TaskResult:
    """Run all ranks of a launch and wait for them.

    Raises:
        StageFailed: a rank ended with an error.
    """
    ranks = plan[task.step].node.needs.ranks
    port = free_port()
    if ranks == 1:
        with _environment(0, 1, port):
            return Worker(plan).run(task)
    context = multiprocessing.get_context("spawn")
    processes: list[BaseProcess] = [
        context.Process(target=_rank, args=(plan, task, rank, ranks, port)) for rank in range(ranks)
    ]
    try:
        for process in processes:
            process.start()
        failed = first_failed(processes)
    finally:
        for process in processes:
            if process.is_alive():
                process.kill()
                process.join()
    if failed:
        raise StageFailed(
            f"step {task.step}: rank {failed[0]} of {ranks} failed; its error is printed above",
            remedy="fix the error and run again; training continues from its last checkpoint",
        )
    return Worker(plan).run(task)  # the row is committed: this only reads its row counts


def first_failed(processes: list[BaseProcess]) -> list[int]:
    """Wait for all processes. If one fails, return the failed ranks: the others may wait for it."""
    failed: list[int] = []
    running = processes
    while running and not failed:
        wait([process.sentinel for process in running])
        codes = [process.exitcode for process in processes]  # read once: a process may end meanwhile
        failed = [rank for rank, code in enumerate(codes) if code]
        running = [process for process, code in zip(processes, codes, strict=True) if code is None]
    return failed


def free_port(host: str = "127.0.0.1") -> int:
    """A free TCP port of this machine."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def _exit_with_parent() -> None:
    """Exit this process when its parent is killed. The next run starts the program again."""
    parent = multiprocessing.parent_process()
    if parent:
        wait([parent.sentinel])
        os._exit(1)


def _rank(plan: Plan, task: Task, rank: int, ranks: int, port: int) -> None:
    threading.Thread(target=_exit_with_parent, name="parent", daemon=True).start()
    with _environment(rank, ranks, port):
        Worker(plan).run(task)


@contextmanager
def _environment(rank: int, ranks: int, port: int) -> Iterator[None]:
    """Set the environment variables of torchrun for one rank, and restore them afterwards."""
    variables = {
        "RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": ranks, "LOCAL_WORLD_SIZE": ranks,
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port,
    }  # fmt: skip
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update({name: str(value) for name, value in variables.items()})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name)
            else:
                os.environ[name] = value
