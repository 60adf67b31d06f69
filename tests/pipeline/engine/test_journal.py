"""A journal shows the next attempt which rows were finished and started, with or without their results."""

from pathlib import Path

import pytest

from pipeline.engine.journal import Journal, RowResult, finished_rows


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


@pytest.mark.parametrize(
    "line",
    ['{"results": {"b": {"records": [], "other": ""}}}', '{"results": {"b": {}}}', '{"results": {"b": 1}}',
     '{"results": ["b"]}', '{"started": 1}', '{"started": [["b"]]}', '{"finished": {"a": 1}}', '{"started"'],
)  # fmt: skip
def test_rows_after_a_damaged_line_are_processed_again(line: str, tmp_path: Path) -> None:
    first = Journal(tmp_path / "j", "run")
    first.start(["a", "b"])
    first.finish({"a": RowResult(records=[{"v": 1}])})
    first.close(delete=False)
    (file,) = (tmp_path / "j").glob("*.jsonl")
    with file.open("a") as stream:
        stream.write(line + "\n" + '{"results": {"b": {"records": []}}}\n')
    assert finished_rows(tmp_path / "j") in ({"a"}, {"a", "b"})
    again = Journal(tmp_path / "j", "another run")
    assert {row: result.records for row, result in again.results.items()} == {"a": [{"v": 1}]}
    again.close(delete=True)
