"""Tests of the listing of recordings: which file is which camera, and what becomes of the others."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from manifests import ClipmillError
from stages.ingest.list_cameras import Camera, ListCameras
from stages.ingest.list_cameras import Recording as ListedRecording
from stages.ingest.list_recordings import ListRecordings, Recording


def write(root: Path, *names: str) -> Path:
    """Files whose content is their name."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    return root


def listed(root: Path, **settings: str) -> dict[str, Recording]:
    stage = ListRecordings(root=str(root), **settings)  # type: ignore[arg-type]
    return {row.recording: row for row in stage.rows()}


def cameras(recording: Recording) -> list[Camera]:
    return list(
        ListCameras().expand(ListedRecording(**{n: getattr(recording, n) for n in ListedRecording.names()}))
    )


def names(recordings: dict[str, Recording]) -> dict[str, tuple[str, ...]]:
    return {name: row.recording_cameras for name, row in recordings.items()}


@pytest.mark.parametrize(
    ("files", "pattern", "expected"),
    [
        (("a/l.mp4", "a/r.mkv", "b/up.mp4"), "{recording}/{camera}", {"a": ("l", "r"), "b": ("up",)}),
        (("a_left.mp4", "a_right.mp4"), "{recording}_{camera}", {"a": ("left", "right")}),
        (("day/1/left.mp4", "day/1/right.mp4"), "{recording}/{camera}", {"day/1": ("left", "right")}),
        (
            ("videos/c0/observation.images.top/e1.mp4", "videos/c0/observation.images.wrist/e1.mp4"),
            "videos/*/{camera}/{recording}",
            {"e1": ("observation_images_top", "observation_images_wrist")},
        ),
    ],
)  # fmt: skip
def test_a_pattern_names_the_recording_and_the_camera(
    files: tuple[str, ...], pattern: str, expected: dict[str, tuple[str, ...]], tmp_path: Path
) -> None:
    assert names(listed(write(tmp_path, *files), pattern=pattern)) == expected


def test_files_that_fit_no_recording_are_counted(tmp_path: Path) -> None:
    stage = ListRecordings(root=str(write(tmp_path, "a/left.mp4", "loose.mp4", "notes.txt")))
    assert stage.digest()
    assert [note for note in stage.notes() if "no recording" in note] == [
        "1 file is left out: no recording and camera in the path"
    ]
    assert any(".txt 1" in note for note in stage.notes())


def test_no_recording_at_all_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ClipmillError, match="none of 1 files names a recording and a camera"):
        ListRecordings(root=str(write(tmp_path, "loose.mp4"))).digest()
    with pytest.raises(ClipmillError, match=r"must have .recording. and .camera."):
        ListRecordings(root=str(tmp_path), pattern="{recording}/*")


ROWS: list[dict[str, object]] = [
    {"uri": "x.mp4", "recording": "one", "camera": "front", "start_s": 0.5, "fx": 700.0},
    {"uri": "y.mp4", "recording": "one", "camera": "rear view", "start_s": None, "fx": 650.5},
]


def write_list(root: Path, ending: str, rows: list[dict[str, object]]) -> Path:
    path = root / f"list{ending}"
    if ending == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif ending == ".jsonl":
        path.write_text("\n".join(json.dumps(row) for row in rows))
    else:
        lines = [",".join("" if v is None else str(v) for v in row.values()) for row in rows]
        path.write_text("\n".join([",".join(rows[0]), *lines]))
    return path


@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".parquet"])
def test_a_list_has_columns_for_recording_camera_start_and_calibration(ending: str, tmp_path: Path) -> None:
    write(tmp_path, "x.mp4", "y.mp4")
    front, rear = cameras(listed(write_list(tmp_path, ending, ROWS))["one"])
    assert (front.camera_name, rear.camera_name) == ("front", "rear_view")
    assert (front.camera_start_s, rear.camera_start_s) == (0.5, 0.0)
    assert [float(json.loads(c.camera_calibration)["fx"]) for c in (front, rear)] == [700.0, 650.5]
    assert (front.source, rear.camera_number) == ("x.mp4", 1)


def test_what_a_list_gets_wrong_is_a_row_with_its_reason(tmp_path: Path) -> None:
    write(tmp_path, "x.mp4", "y.mp4", "z.mp4", "w.mp4")
    rows: list[dict[str, object]] = [
        {"uri": "x.mp4", "recording": "one", "camera": "front", "start_s": "soon"},
        {"uri": "y.mp4", "recording": "one", "camera": "front", "start_s": 0},
        {"uri": "z.mp4", "recording": "", "camera": "front", "start_s": 0},
        {"uri": "missing.mp4", "recording": "two", "camera": "front", "start_s": 0},
    ]
    found = listed(write_list(tmp_path, ".csv", rows))
    assert found["one"].camera_errors == (
        "start_s is 'soon'; it must be a number of seconds",
        "the recording has another file of the camera front",
    )
    assert found["one"].recording_cameras == ("front", "front_2")
    assert found["z.mp4"].camera_errors == ("the list names no recording or no camera for it",)
    assert "No such file" in found["two"].camera_errors[0] or "not exist" in found["two"].camera_errors[0]


def test_the_paths_of_a_text_list_follow_the_pattern(tmp_path: Path) -> None:
    write(tmp_path, "a/left.mp4", "a/right.mp4").joinpath("list.txt").write_text("a/left.mp4\na/right.mp4")
    assert names(listed(tmp_path / "list.txt")) == {"a": ("left", "right")}


def test_a_changed_list_is_another_listing_of_the_same_recordings(tmp_path: Path) -> None:
    write(tmp_path, "x.mp4", "y.mp4")
    path = write_list(tmp_path, ".jsonl", ROWS)
    before, ids = ListRecordings(root=str(path)).digest(), [r.id for r in listed(path).values()]
    write_list(tmp_path, ".jsonl", [{**ROWS[0], "start_s": 0.75}, ROWS[1]])
    assert ListRecordings(root=str(path)).digest() != before
    assert [r.id for r in listed(path).values()] == ids


def test_ids_depend_on_the_content_and_the_cameras_alone(tmp_path: Path) -> None:
    one = listed(write(tmp_path / "one", "a/left.mp4", "a/right.mp4"))
    (tmp_path / "two").mkdir()
    (tmp_path / "one/a").rename(tmp_path / "two/renamed")
    two = listed(tmp_path / "two")
    assert [r.id for r in one.values()] == [r.id for r in two.values()]
    write(tmp_path / "two", "renamed/right.mp4")
    assert [r.id for r in one.values()] != [r.id for r in listed(tmp_path / "two").values()]
