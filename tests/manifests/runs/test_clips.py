"""`manifests.clips`: all rows of a store with the columns of their videos and their outcomes; its files."""

import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import csv
from small_store import make_store

from manifests import ManifestError, clips
from manifests.errors import UnknownColumn, UnknownName
from manifests.runs.columns import clip_table, find_table
from manifests.runs.files import write_csv, write_json, write_parquet
from manifests.runs.run_history import RunHistory, StepHistory
from manifests.stores.folder import FolderStore


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_store(tmp_path_factory.mktemp("store")).store.root


def test_each_clip_has_the_columns_of_its_video(root: Path) -> None:
    table = clips(root)
    assert table.num_rows == 6
    assert set(table["source"].to_pylist()) == {"a.mp4", "c.mp4", "d.mp4"}
    rows = {(row["source"], row["start_s"]): row for row in table.to_pylist()}
    assert len(rows) == 6
    assert rows["c.mp4", 2.5]["motion_mean"] == 2.0
    assert rows["c.mp4", 2.5]["strip"].startswith("measure_motion-")
    assert set(table["outcome"].to_pylist()) == {"kept"}


def test_videos_have_outcomes_with_reasons_and_counts_of_clips(root: Path) -> None:
    names = ["source", "outcome", "reason", "detail", "clips", "clips_kept"]
    rows = {
        row.pop("source"): tuple(row.values()) for row in clips(root, of="videos", columns=names).to_pylist()
    }
    assert rows["a.mp4"] == ("kept", None, None, 2, 2)
    assert rows["b.mp4"][0] == "dropped"
    assert rows["b.mp4"][2:] == ("motion_mean=0.1", 0, 0)
    assert rows["e.mp4"] == ("rejected", "motion_mean missing", "", 0, 0)
    assert rows["bad.mp4"] == ("rejected", "cannot be decoded", "", 0, 0)


def test_the_clips_are_the_rows_with_times_else_the_last_rows(root: Path) -> None:
    def table(name: str, kind: str, *columns: str) -> StepHistory:
        named = tuple({"name": column} for column in columns)
        return StepHistory(name=name, kind=kind, folder=name, base=name, root="films", columns=named)

    def clips_of(*steps: StepHistory) -> str | None:
        history = RunHistory(FolderStore(root), "", "", {step.name: step for step in steps}, {})
        found = clip_table(history)
        assert found is None or find_table(history, "clips") == found
        return found.name if found else None

    films, shots = table("films", "source", "uri"), table("shots", "children", "start_s", "end_s")
    frames, model = table("frames", "children", "time_s"), table("train", "model", "loss")
    assert clips_of(films, shots, frames, model) == "shots"
    assert clips_of(films, frames, model) == "frames"
    assert clips_of(films) == "films"
    assert clips_of(model) is None


def test_a_missing_value_never_passes(root: Path) -> None:
    def sources(where: str) -> list[str]:
        return sorted(clips(root, columns=["source"], where=where, of="videos")["source"].to_pylist())

    assert sources("motion_mean < 0.4") == ["b.mp4"]
    assert sources("not motion_mean < 0.4") == ["a.mp4", "c.mp4", "d.mp4"]
    assert sources("motion_mean is None") == ["bad.mp4", "e.mp4"]
    assert sources("outcome == 'rejected' and clips == 0") == ["bad.mp4", "e.mp4"]
    assert sources("source == 'none'") == []


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"columns": ["motion"]}, UnknownColumn, "did you mean 'motion_mean'"),
        ({"where": "motion_men > 1"}, UnknownColumn, "did you mean 'motion_mean'"),
        ({"columns": ["mean"]}, UnknownColumn, "did you mean 'motion_mean'"),
        ({"of": "video"}, UnknownName, "did you mean 'videos'"),
        ({"run": "2026"}, UnknownName, "there is no run '2026'"),
    ],
)
def test_a_wrong_name_suggests_the_right_one(
    options: dict[str, object], error: type[ManifestError], message: str, root: Path
) -> None:
    with pytest.raises(error, match=message) as caught:
        clips(root, **options)  # type: ignore[arg-type]
    assert caught.value.exit_code == 2


def test_the_files_hold_the_same_rows(root: Path) -> None:
    table = clips(root)
    written = {}
    for write in (write_csv, write_parquet, write_json):
        sink = io.BytesIO()
        assert write(sink, table.schema, [table.slice(0, 2), table.slice(2)]) == 6
        written[write] = io.BytesIO(sink.getvalue())
    assert csv.read_csv(written[write_csv])["start_s"].to_pylist() == table["start_s"].to_pylist()
    parquet = pq.read_table(written[write_parquet])
    assert parquet.equals(table)
    assert parquet.schema.field("start_s").metadata == {b"meaning": b"start", b"unit": b"s"}
    assert [json.loads(line) for line in written[write_json]] == table.to_pylist()


def test_lists_bytes_and_nan_are_written() -> None:
    table = pa.table({"a": [[1.0, float("nan")], None], "b": [b"\xff", None], "c": ['x"\n', "\x1b"]})
    text, lines = io.BytesIO(), io.BytesIO()
    write_csv(text, table.schema, [table])
    write_json(lines, table.schema, [table])
    options = csv.ParseOptions(newlines_in_values=True)
    read = csv.read_csv(io.BytesIO(text.getvalue()), parse_options=options).to_pylist()
    assert read == [{"a": "[1.0, null]", "b": "/w==", "c": 'x"\n'}, {"a": "", "b": "", "c": "\x1b"}]
    assert json.loads(lines.getvalue().splitlines()[0]) == {"a": [1.0, None], "b": "/w==", "c": 'x"\n'}
