"""Fuzz tests: every reader of untrusted bytes ends with a result or with an error of the library."""

import resource
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from damage import damaged
from fuzz_targets import targets
from hypothesis import HealthCheck, given, settings

QUICK, LONG = 12, 3000  # examples for each reader
SLOW = (pytest.mark.slow, pytest.mark.timeout(0))  # as long as it takes
MAX_CPU_S = 20.0  # of one input: a reader that takes longer hangs
MAX_GROWTH_MB = 700


@contextmanager
def _no_hang() -> Iterator[None]:
    def stop(*_: object) -> None:
        raise AssertionError(f"a reader did not end within {MAX_CPU_S} s of CPU time")

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, MAX_CPU_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


@pytest.mark.parametrize("examples", [QUICK, pytest.param(LONG, marks=SLOW)])
@pytest.mark.parametrize("name", list(targets()))
def test_damaged_bytes_are_errors_of_the_library(name: str, examples: int, tmp_path: Path) -> None:
    target, folder = targets()[name], tmp_path / "work"
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    @settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(data=damaged(target.seeds))
    def read(data: bytes) -> None:
        folder.mkdir()
        try:
            with _no_hang():
                target.run(data, folder)
        finally:
            shutil.rmtree(folder)

    read()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MAX_GROWTH_MB << 10


@pytest.mark.parametrize("name", list(targets()))
def test_valid_bytes_are_read(name: str, tmp_path: Path) -> None:
    for number, seed in enumerate(targets()[name].seeds):
        folder = tmp_path / str(number)
        folder.mkdir()
        targets()[name].read(seed, folder)
