"""Tests of signals: columns are read back by name and by span."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from manifests import Artifact
from stages.media.signals import ROWS_PER_GROUP, SignalsWriter, read_signals


def test_columns_are_read_by_span(stored: Callable[..., Artifact]) -> None:
    signals = stored(np.arange(10) / 25, motion=np.arange(10.0), pan=np.full(10, np.nan))
    found = read_signals(signals, ["pts", "motion"], 3, 6)
    assert found["pts"].tolist() == [120, 160, 200]
    assert found["motion"].tolist() == [3, 4, 5]
    assert found["motion"].dtype == np.float32
    assert np.isnan(read_signals(signals, ["pan"])["pan"]).all()
    with pytest.raises(ValueError, match="read-only"):
        read_signals(signals, ["motion"])["motion"][0] = 9
    with pytest.raises(KeyError, match="zoom"):
        read_signals(signals, ["zoom"])


def test_the_cache_distinguishes_files(stored: Callable[..., Artifact]) -> None:
    one, two = (stored([0.0], motion=[value]) for value in (1.0, 2.0))
    assert [read_signals(s, ["motion"])["motion"][0] for s in (one, two, one)] == [1, 2, 1]


def test_long_videos_are_written_in_row_groups_with_the_same_bytes(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    for name in ("a", "b"):
        with SignalsWriter(tmp_path / name, {"x": "of a test [1]"}) as writer:
            for k in range(ROWS_PER_GROUP + 5):
                writer.append(k, k / 25, [k * 0.5])
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    file = pq.ParquetFile(tmp_path / "a")
    assert file.metadata.num_row_groups == 2
    assert file.schema_arrow.field("x").metadata == {b"meaning": b"of a test [1]"}
    assert file.read().column("x").to_pylist()[-1] == (ROWS_PER_GROUP + 4) * 0.5
    file.close()
