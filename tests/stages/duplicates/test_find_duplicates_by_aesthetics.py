"""The aesthetic score decides after pixels and sharpness, and before length."""

from collections.abc import Callable

import pyarrow as pa
import pytest
from run_comparison import run_comparison

from stages.duplicates.find_duplicates import FindDuplicates
from stages.duplicates.find_duplicates_by_aesthetics import FindDuplicatesByAesthetics
from stages.duplicates.search_pairs import SearchPairs


@pytest.mark.parametrize(
    ("better", "expected"),
    [({}, "b"), ({"width_px": [800, 640]}, "a"), ({"sharpness": [0.6, 0.5]}, "a")],
)
def test_the_score_decides_where_pixels_and_sharpness_are_equal(
    better: dict[str, list[float]], expected: str, clips: Callable[..., pa.Table]
) -> None:
    rows = clips([[1, 0], [1, 0.1]], "ab", aesthetic_mean=[4.0, 5.0], end_s=[9.0, 4.0], **better)
    searched = run_comparison(SearchPairs(), rows)
    kept = [
        row["id"]
        for row in run_comparison(FindDuplicatesByAesthetics(duplicates="semantic"), searched).to_pylist()
        if not row["duplicate"]
    ]
    assert kept == [expected]
    by_length = run_comparison(FindDuplicates(duplicates="semantic"), searched).to_pylist()
    assert [row["id"] for row in by_length if not row["duplicate"]] == ["a"]  # a is longer
