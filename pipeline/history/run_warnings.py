"""What the user must know at the end of a run: failed and rejected rows, and outputs without rows."""

import shlex
from collections.abc import Collection, Iterator, Sequence
from statistics import median

from manifests.predicate import names_in
from manifests.table import part_name, read_part
from pipeline.history.formatting import format_rows
from pipeline.history.funnel import Funnel, FunnelLine
from pipeline.history.reasons import most_frequent_reason, reason_and_row
from pipeline.history.run_history import RunHistory
from pipeline.recipes.redaction import redact_argument
from pipeline.recipes.request import RunRequest

_MAX_PARTS = 24  # parts of a rule whose dropped values are read


def run_warnings(history: RunHistory, funnel: Funnel, request: RunRequest) -> tuple[str, ...]:
    """The warnings at the end of a run; some have several lines."""
    return (*_rejected(funnel), *_failed(history, funnel), *_outputs_without_rows(history, funnel, request))


def _rejected(funnel: Funnel) -> Iterator[str]:
    if funnel.rejected:
        steps = ", ".join(f"{line.step} {line.rejected:,}" for line in funnel.lines if line.rejected)
        rows = f"{format_rows(funnel.rejected)} {'was' if funnel.rejected == 1 else 'were'}"
        yield f"{rows} rejected as invalid ({steps}); the report lists the reasons"


def _failed(history: RunHistory, funnel: Funnel) -> Iterator[str]:
    lines = [line for line in funnel.lines if line.errors]
    if not lines:
        return
    each = [f"{format_rows(funnel.errors)} failed with an error, which is not a decision about the data"]
    for line in lines:
        parts = history.row_counts(line.step).values()
        reason, row = reason_and_row(history.store, history[line.step].folder, parts, errors=True)
        each.append(
            f"{line.step} {line.errors:,}: {reason} ({'row' if line.errors == 1 else 'such as row'} {row})"
        )
    yield "\n  ".join([*each, "remedy: fix the cause, then run the same command with --retry-errors"])


def _outputs_without_rows(history: RunHistory, funnel: Funnel, request: RunRequest) -> Iterator[str]:
    lines = {line.step: line for line in funnel.lines}
    explained = set()
    for output, heads in history.outputs.items():
        empty = [head for head in heads if not lines[head].rows_to_next]
        last = _last_step_with_rows(history, lines, empty[0]) if empty else ""
        if last and last not in explained:
            explained.add(last)
            yield f"output {output} has no row: {_why(history, lines[last], request)}"


def _last_step_with_rows(history: RunHistory, lines: dict[str, FunnelLine], step: str) -> str:
    """The step that the last rows entered and did not leave, or that joins branches without a common row."""
    while not lines[step].rows_in:
        empty = [name for name in history[step].inputs if not lines[name].rows_to_next]
        if not empty:
            break
        step = empty[0]
    return step


def _why(history: RunHistory, line: FunnelLine, request: RunRequest) -> str:
    step = history[line.step]
    counts = history.row_counts(line.step)
    if not step.inputs:
        return f"{step.name} found no row"
    if not line.rows_in:
        return f"no row is left by all inputs of {step.name}: {', '.join(step.inputs)}"
    if line.kind == "children" and line.passed:
        return f"{step.name} made no row from {line.passed:,} rows"
    if line.dropped:
        what = f"rule {step.name} dropped {line.dropped:,} of the last {line.rows_in:,} rows"
        return "\n  ".join(
            [what, f"rule:   keep {step.rule}", *_values(history, line, list(counts), request)]
        )
    failed = bool(line.errors)
    reason = most_frequent_reason(history.store, step.folder, counts.values(), errors=failed)
    return f"{step.name} {'failed on' if failed else 'rejected'} the last {line.rows_in:,} rows: {reason}"


def _values(
    history: RunHistory, line: FunnelLine, numbers: Sequence[int], request: RunRequest
) -> Iterator[str]:
    """The values of the dropped rows in the columns of the rule, and a knob that keeps some of them."""
    step = history[line.step]
    texts: list[str] = []
    for number in numbers[:_MAX_PARTS]:
        texts += read_part(history.store, f"{step.folder}/{part_name(number)}", ["value"])[
            "value"
        ].to_pylist()
    for name in dict.fromkeys(names_in(step.rule)):
        values = [float(text) for each in texts if _is_number(text := _value(each, name))]
        if not values:
            continue
        middle = median(values)
        yield f"values: {name} {min(values):.4g} to {max(values):.4g}, median {middle:.4g}"
        knob = _knob(name, request.knob_names())
        if knob:
            yield f"try:    {_command(request, knob, f'{middle:.4g}')}"


def _value(text: str, name: str) -> str:
    """The value of a column in the text of a dropped row, such as "motion_mean=0.12 fps=24"."""
    return next((part.partition("=")[2] for part in text.split() if part.startswith(f"{name}=")), "")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _knob(column: str, knobs: Collection[str]) -> str:
    """The knob that limits a column: its name is `min_` or `max_` and the column; "" if there is none."""
    return next((name for name in (f"min_{column}", f"max_{column}") if name in knobs), "")


def _command(request: RunRequest, knob: str, value: str) -> str:
    knobs = {**request.knobs, knob: value}
    arguments = [redact_argument(f"{name}={text}") for name, text in knobs.items()]
    return shlex.join(["clipmill", "try", request.recipe, f"store={request.store}", *arguments])
