"""A journal shows the next attempt which rows were finished and started, with or without their results."""

from pathlib import Path

import pytest

from pipeline.engine.journal import Journal, RowResult


@pytest.mark.parametrize("save_results", [True, False])
def test_only_an_unfinished_row_counts_as_a_crash(save_results: bool, tmp_path: Path) -> None:
    first = Journal(tmp_path / "j", "run", save_results=save_results)
    first.start(["a"])
    first.finish({"a": RowResult(records=[{"v": 1}])})
    first.start(["b"])
    first.close(delete=False)
    second = Journal(tmp_path / "j", "run", save_results=save_results)
    assert second.crashes == {"b": 1}
    assert {row: result.records for row, result in second.results.items()} == (
        {"a": [{"v": 1}]} if save_results else {}
    )
    second.start(["a", "b"] if not save_results else ["b"])
    assert second.restarted == 1
    started = second.started
    second.requeue("b")
    second.start(["b"])
    assert (second.restarted, second.started) == (1, started)  # a requeued row is not counted twice
    second.close(delete=True)
    assert not (tmp_path / "j").exists()
