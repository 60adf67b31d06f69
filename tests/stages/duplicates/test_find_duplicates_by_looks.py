"""Looks decide after pixels and sharpness, and before length."""

from collections.abc import Callable

import pyarrow as pa
import pytest
from compared import compared

from stages.duplicates.find_duplicates import FindDuplicates
from stages.duplicates.find_duplicates_by_looks import FindDuplicatesByLooks
from stages.duplicates.search_pairs import SearchPairs


@pytest.mark.parametrize(
    ("better", "wanted"),
    [({}, "b"), ({"width_px": [800, 640]}, "a"), ({"sharpness": [0.6, 0.5]}, "a")],
)
def test_looks_decide_where_pixels_and_sharpness_do_not(
    better: dict[str, list[float]], wanted: str, clips: Callable[..., pa.Table]
) -> None:
    rows = clips([[1, 0], [1, 0.1]], "ab", aesthetic_mean=[4.0, 5.0], end_s=[9.0, 4.0], **better)
    searched = compared(SearchPairs(), rows)
    kept = [
        row["id"] for row in compared(FindDuplicatesByLooks(), searched).to_pylist() if not row["duplicate"]
    ]
    assert kept == [wanted]
    plain = compared(FindDuplicates(), searched).to_pylist()
    assert [row["id"] for row in plain if not row["duplicate"]] == ["a"]  # it is longer
