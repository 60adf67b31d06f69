"""Runs a stage on a batch. After an error the batch is divided, until each row has a result."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from manifests.errors import ClipmillError, StoreFull, disk_full_error
from manifests.row import Row
from pipeline.engine.batches.memory import free_memory, is_out_of_memory
from pipeline.engine.batches.size import BatchSize
from pipeline.engine.journal import RowResult
from pipeline.engine.steps.storing import one_line, result_from_error
from pipeline.errors import StageFailed
from pipeline.grouped import AnnotateGroups
from pipeline.planning.plan import Step
from pipeline.stage import Reject, Unavailable

Batch = Sequence[tuple[str, Row]]  # rows with their ids
Results = Mapping[str, RowResult | Unavailable]
Compute = Callable[[Batch], Results]


def run_with_retries(step: Step, compute: Compute, batch: Batch, size: BatchSize | None = None) -> Results:
    """The results of some rows. A batch that fails and is no group is divided.

    Memory is not enough: into halves, and `size` stays smaller. Any other error: into single rows, which
    show which of them is at fault.
    """
    if len(batch) == 1 or isinstance(step.node.work, AnnotateGroups):
        return _run_rows(step, compute, batch)
    try:
        results = compute(batch)
        if size:
            size.fits(len(batch))
        return results
    except (StoreFull, StageFailed):
        raise
    except Unavailable as unavailable:
        return {row: unavailable for row, _ in batch}
    except Exception as error:
        needs_memory = is_out_of_memory(error)
    # The exception is gone here: its frames hold the arrays of the batch.
    smaller: Iterator[Batch] = ([pair] for pair in batch)
    if needs_memory:
        free_memory()
        size = size or BatchSize(len(batch))
        size.shrink(len(batch))
        smaller = size.split(batch)
    return {k: v for rows in smaller for k, v in run_with_retries(step, compute, rows, size).items()}


def _run_rows(step: Step, compute: Compute, batch: Batch) -> Results:
    """The results of one row, or of the rows of a group, after retries."""
    failure = RowResult()
    for _ in range(1 + step.node.needs.retries):
        needs_memory = False
        try:
            return compute(batch)
        except ClipmillError:
            raise
        except Reject as reject:
            return {row: result_from_error(reject) for row, _ in batch}
        except Unavailable as unavailable:
            return {row: unavailable for row, _ in batch}
        except Exception as error:
            if isinstance(error, OSError):  # a full disk is not the fault of a row
                full = disk_full_error(error, f"step {step.name} {error.filename or ''}".rstrip())
                if isinstance(full, StoreFull):
                    raise full from error
            failure, needs_memory = result_from_error(error), is_out_of_memory(error)
        if needs_memory:
            free_memory()
            failure = _out_of_memory(failure, len(batch))
    return {row: failure for row, _ in batch}


def _out_of_memory(failure: RowResult, rows: int) -> RowResult:
    """The result for rows that cannot be divided further: the same reason for all, and the message apart."""
    what = "one row" if rows == 1 else f"a group of {rows:,} rows"
    return RowResult(
        kind=failure.kind,
        reason=f"out of memory with {what}",
        detail=one_line(f"{failure.reason} at {failure.detail}" if failure.detail else failure.reason),
    )
