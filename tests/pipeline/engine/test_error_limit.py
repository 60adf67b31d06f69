"""The end of runs in which rows failed: exit codes, the record, warnings, and how such a run continues."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import counting
import pytest
from toys import N, Numbers, Quiet

from manifests import Row, column
from pipeline import Annotate, Dag, Reject
from pipeline.executors.inline import Inline
from pipeline.recipes.request import RunRequest
from pipeline.run import RunResult, run_dag


class Weight(Row):
    weight: float = column("a hundredth of the number", unit="kg")


class Weigh(Annotate[N, Weight]):
    """Raises an error on multiples of `broken`, and rejects 5."""

    broken: int = 0
    execution_settings = frozenset({"broken"})

    def annotate(self, rows: Sequence[N]) -> Iterator[Weight | Reject]:
        for row in rows:
            if self.broken and row.n % self.broken == 0:
                raise ValueError("the scale is broken\x1b[2J")  # an escape sequence of terminals
            yield Reject("5 is invalid") if row.n == 5 else Weight(weight=row.n / 100)


def weighed(broken: int = 10, min_weight: float = 0.0) -> Dag:
    """40 numbers in parts of 5."""
    dag = Dag("weighed")
    rows = dag.read(Numbers(count=40), rows_per_part=5).annotate(Weigh(broken=broken).on(retries=0))
    dag.save(rows.keep(f"weight >= {min_weight}", because="too light"), "heavy")
    return dag


def run(store: Path, dag: Dag, **options: Any) -> RunResult:
    request = RunRequest("weighed.py", {}, str(store))
    return run_dag(dag, str(store), executor=Inline(), observer=Quiet(), request=request, **options)


def recorded(store: Path, result: RunResult) -> dict[str, Any]:
    timings: dict[str, Any] = json.loads((store / "runs" / result.run / "timings.json").read_text())
    return timings


def test_failed_rows_are_a_warning_that_names_the_reason_and_the_remedy(tmp_path: Path) -> None:
    result = run(tmp_path, weighed(broken=10))  # 0, 10, 20 and 30
    assert (result.exit_code, result.error, recorded(tmp_path, result)["state"]) == (0, "", "done")
    assert (result.funnel.rejected, result.funnel.errors) == (1, 4)
    rejected, failed = result.warnings
    assert rejected == "1 row was rejected as invalid (weigh 1); the report lists the reasons"
    assert "weigh 4: ValueError: the scale is broken\\x1b[2J" in failed
    assert "--retry-errors" in failed
    log = (tmp_path / "runs" / result.run / "log.txt").read_text()
    assert "warning: 4 rows failed with an error" in log
    assert run(tmp_path, weighed(broken=0), retry_errors=True).warnings == (rejected,)


def test_a_run_fails_as_soon_as_too_many_errors_are_certain_and_continues_when_more_are_allowed(
    tmp_path: Path,
) -> None:
    result = run(tmp_path, weighed(broken=4), max_error_share=0.1)  # 10 of 40 rows would fail
    assert result.exit_code == 1
    assert result.seconds > 0
    assert result.rows["weigh"].processed == 20  # 0, 4, 8, 12 and 16 are more than a tenth of 40
    assert "step weigh failed on 5 rows; --max-error-share allows 0.1 of at most 40 rows" in result.error
    assert "most frequent reason: ValueError: the scale is broken\\x1b[2J" in result.error
    assert "--retry-errors" in result.error
    assert "rejected" not in result.error  # invalid rows do not count
    found = recorded(tmp_path, result)
    assert found["state"] == "failed"
    assert "TooManyErrors" in found["error"]
    assert (tmp_path / "runs" / result.run / "report.html").exists()
    again = run(tmp_path, weighed(broken=4), max_error_share=0.1)
    assert (again.exit_code, again.rows) == (1, {})  # parts of an earlier run count as well
    allowed = run(tmp_path, weighed(broken=4), max_error_share=0.25)
    assert (allowed.exit_code, allowed.rows["weigh"].processed) == (0, 20)
    assert allowed.funnel.errors == 10  # exactly the allowed share


def test_the_share_is_checked_at_the_latest_when_a_step_is_done(tmp_path: Path) -> None:
    """The rows that enter the second stage are known only when the rule before it is done."""
    dag = Dag("late")
    rows = dag.read(Numbers(count=40), rows_per_part=5).keep("n >= 36", because="too small")
    dag.save(rows.annotate(Weigh(broken=37).on(retries=0)), "heavy")
    result = run(tmp_path, dag, max_error_share=0.2)  # 1 of 4 rows, and 1 of 40 rows of the source
    assert (result.exit_code, result.funnel.errors) == (1, 1)
    assert all(line.complete for line in result.funnel.lines)
    assert "of at most 4 rows" in result.error


def test_strict_fails_at_the_first_rejected_row_and_retried_errors_are_gone(tmp_path: Path) -> None:
    result = run(tmp_path, weighed(broken=0), strict=True)
    assert (result.exit_code, result.rows["weigh"].processed) == (1, 10)  # 5 is in the second part
    assert "step weigh rejected 1 row; --strict allows none" in result.error
    assert "5 is invalid" in result.error
    assert "--retry-errors" not in result.error  # it would be rejected again
    assert run(tmp_path, weighed(broken=0)).exit_code == 0


def test_an_output_without_rows_names_the_rule_its_values_and_a_knob(tmp_path: Path) -> None:
    request = RunRequest(counting.__file__, {"min_half": "100"}, str(tmp_path))
    result = run_dag(request.dag(), str(tmp_path), executor=Inline(), observer=Quiet(), request=request)
    assert result.warnings[-1].splitlines() == [
        "output pieces has no row: rule too_small dropped 19 of the last 20 rows",  # half of 7 is missing
        "  rule:   keep half >= 100.0",
        "  values: half 0 to 9.5, median 5",
        f"  try:    clipmill try {counting.__file__} store={tmp_path} min_half=5",
    ]
    assert result.exit_code == 0


@pytest.mark.parametrize(
    ("count", "broken", "why"),
    [
        (0, 0, "output heavy has no row: numbers found no row"),
        (3, 1, "output heavy has no row: weigh failed on the last 3 rows: ValueError: the scale is broken"),
    ],
)
def test_an_output_without_rows_names_the_step_that_lost_the_last_ones(
    count: int, broken: int, why: str, tmp_path: Path
) -> None:
    dag = Dag("few")
    rows = dag.read(Numbers(count=count)).annotate(Weigh(broken=broken).on(retries=0))
    dag.save(rows.keep("weight >= 0", because="too light"), "heavy")
    assert run(tmp_path, dag).warnings[-1].removesuffix("\\x1b[2J") == why


def test_an_output_behind_branches_without_a_common_row_names_the_branches(tmp_path: Path) -> None:
    dag = Dag("branches")
    rows = dag.read(Numbers(count=40), rows_per_part=5)
    low, high = rows.keep("n < 10", because="high"), rows.keep("n > 20", because="low")
    dag.save(low.join(high).keep("n > 1", because="small"), "both")
    result = run(tmp_path, dag)
    assert result.warnings == ("output both has no row: no row is left by all inputs of small: high, low",)
    assert recorded(tmp_path, result)["state"] == "done"
