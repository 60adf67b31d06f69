"""A journal tells the next attempt what is finished and what was in hand, with the answers or without."""

from pathlib import Path

import pytest

from pipeline.engine.journal import Answer, Journal


@pytest.mark.parametrize("answers", [True, False])
def test_only_the_row_in_hand_counts_as_a_death(answers: bool, tmp_path: Path) -> None:
    first = Journal(tmp_path / "j", "run", answers=answers)
    first.begin(["a"])
    first.finish({"a": Answer(records=[{"v": 1}])})
    first.begin(["b"])
    first.close(gone=False)
    second = Journal(tmp_path / "j", "run", answers=answers)
    assert second.deaths == {"b": 1}
    assert {row: answer.records for row, answer in second.answers.items()} == (
        {"a": [{"v": 1}]} if answers else {}
    )
    second.begin(["a", "b"] if not answers else ["b"])
    assert second.redone == 1
    begun = second.begun
    second.leave("b")
    second.begin(["b"])
    assert (second.redone, second.begun) == (1, begun)  # a row that is put back is not counted again
    second.close(gone=True)
    assert not (tmp_path / "j").exists()
