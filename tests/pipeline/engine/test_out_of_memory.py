"""A batch for which memory is not enough is halved; the results equal those without the fault."""

import gc
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from toys import N, Numbers, Quiet

from manifests import Row, column
from manifests.stores.folder import FolderStore
from manifests.table import part_name, parts_of, read_part
from pipeline import Annotate, Dag, Needs
from pipeline.engine.batches.memory import is_out_of_memory
from pipeline.engine.batches.size import BatchSize
from pipeline.engine.schedule import Schedule
from pipeline.executors.inline import Inline
from pipeline.planning.plan import Plan, build_plan
from pipeline.planning.retry_errors import retry_errors

HUGE = 2**60  # bytes; no machine has them


class Cubed(Row):
    cube: int = column("the number to the power of 3")


class Cube(Annotate[N, Cubed]):
    """Needs more memory than there is for more than `fits` rows, and for the number `huge` alone."""

    fits: int = 100
    huge: int = -1
    calls: str = ""  # a file to which each call adds its number of rows
    execution_settings = frozenset({"fits", "huge", "calls"})
    needs = Needs(batch=8)

    def annotate(self, rows: Sequence[N]) -> Iterator[Cubed]:
        with open(self.calls, "a") as file:
            file.write(f"{len(rows)} ")
        if len(rows) > self.fits or any(row.n == self.huge for row in rows):
            np.ones(HUGE, np.uint8)
        yield from (Cubed(cube=row.n**3) for row in rows)


def run(store: Path, *, retry: bool = False, **settings: int) -> tuple[Plan, Schedule, list[int]]:
    calls = store.with_suffix(".calls")
    calls.write_text("")
    dag = Dag("d")
    stage = Cube(calls=str(calls), **settings)
    dag.save(dag.read(Numbers(count=20), rows_per_part=10).annotate(stage.on(name="it")), "x")
    if retry:
        assert retry_errors(build_plan(dag, FolderStore(store), "r")) == {"it": 1}
    plan = build_plan(dag, FolderStore(store), "r")
    schedule = Inline().run(plan, Quiet())
    return plan, schedule, [int(rows) for rows in calls.read_text().split()]


def cubes(plan: Plan) -> dict[str, int]:
    folder = plan["it"].folder
    tables = [read_part(plan.store, f"{folder}/{part_name(n)}") for n in parts_of(plan.store, folder)]
    return {row["id"]: row["cube"] for table in tables for row in table.to_pylist()}


def test_a_batch_without_memory_is_halved_and_the_next_ones_stay_small(tmp_path: Path) -> None:
    whole, _, calls = run(tmp_path / "whole")
    assert calls == [8, 2, 8, 2]
    plan, schedule, calls = run(tmp_path / "small", fits=3)
    assert calls == [8, 4, 2, 2, 2, 2, 2, *[2] * 5]
    assert cubes(plan) == cubes(whole)
    counts = [schedule.steps["it"].work.divided, schedule.steps["it"].work.processed]
    assert counts == [2, 20]


def test_a_row_that_alone_needs_too_much_is_an_error_and_is_retried(tmp_path: Path) -> None:
    plan, schedule, _ = run(tmp_path / "s", huge=13)
    assert schedule.steps["it"].row_counts.errors == 1
    (name,) = plan.store.walk(f"{plan['it'].folder}/rejects")
    (reject,) = read_part(plan.store, name).to_pylist()
    assert (reject["kind"], reject["reason"]) == ("error", "out of memory with one row")
    assert "Unable to allocate 1.00 EiB" in reject["detail"]
    again, schedule, calls = run(tmp_path / "s", retry=True)
    assert (sum(calls), len(cubes(again)), schedule.steps["it"].row_counts.errors) == (1, 20, 0)


def test_a_smaller_size_grows_after_many_batches_and_waits_longer_each_time() -> None:
    size, limit, used = BatchSize(8), 4, []
    for _ in range(200):
        rows = size.rows
        used.append(rows)
        if rows > limit:
            size.shrink(rows)
        else:
            size.fits(rows)
    trials = [index for index, rows in enumerate(used) if rows == 8]
    assert trials == [0, 17, 50, 115]  # each failed trial doubles the wait: 16, 32, 64 batches
    size.shrink(1)
    assert size.rows == 1
    size.fits(1)
    assert size.rows == 1


def test_a_size_that_fits_again_reaches_the_maximum() -> None:
    size = BatchSize(8)
    size.shrink(8)
    size.shrink(4)
    used = []
    for _ in range(64):
        used.append(size.rows)
        size.fits(size.rows)
    assert sorted(set(used)) == [2, 4, 8]
    assert used[-1] == 8
    assert [len(batch) for batch in size.split(range(20))] == [8, 8, 4]
    size.shrink(8)  # the trial was not in vain: its size held for many batches
    assert size._wait == 16


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        type("OutOfMemoryError", (RuntimeError,), {})("Tried to allocate 20 MiB"),  # as torch's
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate(handle)"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:114] DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("Failed to allocate memory for requested buffer of size 8589934592"),  # onnxruntime
        RuntimeError("bfc_arena.cc:376 BFCArena::AllocateRawInternal Available memory of 0 is smaller"),
        OSError(12, "Cannot allocate memory"),
    ],
)
def test_errors_of_libraries_are_recognized(error: Exception) -> None:
    assert is_out_of_memory(error)
    wrapped = ValueError("the model failed")
    wrapped.__cause__ = error
    assert is_out_of_memory(wrapped)


@pytest.mark.parametrize("error", [ValueError("bad row"), OSError(2, "no such file"), KeyError("memory")])
def test_other_errors_are_not_mistaken(error: Exception) -> None:
    assert not is_out_of_memory(error)


@pytest.mark.slow  # importing torch takes seconds
def test_torch_itself_is_recognized() -> None:
    torch = pytest.importorskip("torch")
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    with pytest.raises(RuntimeError) as caught:
        torch.empty(HUGE, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)


class Array:
    """Stands for the tensors of a batch."""


def test_what_the_failed_batch_held_is_free_before_the_next_try(tmp_path: Path) -> None:
    held: list[weakref.ref[Array]] = []
    alive: list[bool] = []

    class Holding(Annotate[N, Cubed]):
        needs = Needs(batch=4)

        def annotate(self, rows: Sequence[N]) -> Iterator[Cubed]:
            alive.extend(array() is not None for array in held)
            array = Array()
            held.append(weakref.ref(array))
            if len(rows) > 1:
                raise MemoryError
            yield from (Cubed(cube=row.n**3) for row in rows)

    dag = Dag("d")
    dag.save(dag.read(Numbers(count=4)).annotate(Holding().on(name="it")), "x")
    gc.disable()
    try:
        Inline().run(build_plan(dag, FolderStore(tmp_path), "r"), Quiet())
    finally:
        gc.enable()
    assert len(held) == 4 + 2  # 4 rows, 2 rows, and then one by one
    assert not any(alive)
