"""Tests of the further columns of lists: names, types, rules, and what a changed value processes again."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from manifests import ClipmillError
from pipeline import Dag
from pipeline.planning.keys import Keys, compute_keys
from stages.ingest.list_videos import ListVideos
from stages.ingest.probe_video import ProbeVideo
from stages.ingest.roots import find_list_columns
from stages.media.list_file import parse_list
from stages.recipes.curate import curate
from stages.recipes.footage import Footage, read_footage

NAMES = ("uri", "License", "camera id", "take", "score", "is ok", "caption")
RECORDS: list[dict[str, Any]] = [
    dict(zip(NAMES, ("a.mp4", "cc0", "007", 1, 0.5, True, "1"), strict=True)),
    dict(zip(NAMES, ("b.mp4", None, "012", None, 2, False, None), strict=True)),
]
COLUMNS = ("camera_id:str", "is_ok:bool", "license:str", "list_caption:str", "score:float", "take:int")


def _films(root: Path) -> None:
    for name in ("a.mp4", "b.mp4"):
        (root / name).write_bytes(name.encode())


def _csv(records: list[dict[str, Any]]) -> str:
    lines = [",".join(records[0])]
    return "\n".join([*lines, *(",".join("" if v is None else str(v) for v in r.values()) for r in records)])


def _write(root: Path, ending: str, records: list[dict[str, Any]]) -> str:
    file = root / f"list{ending}"
    if ending == ".csv":
        file.write_text(_csv(records))
    elif ending == ".jsonl":
        file.write_text("\n".join(map(json.dumps, records)))
    else:
        whole = [{**record, "score": float(record["score"])} for record in records]
        pq.write_table(pa.Table.from_pylist(whole), file)
    return str(file)


@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".parquet"])
def test_every_format_gives_the_same_columns(ending: str, tmp_path: Path) -> None:
    _films(tmp_path)
    footage = _write(tmp_path, ending, RECORDS)
    columns = find_list_columns(footage, {"caption"})
    assert columns == COLUMNS
    stage = ListVideos(root=footage, list_columns=columns)
    first, second = (vars(row) for row in stage.rows())
    assert [first[c.partition(":")[0]] for c in COLUMNS] == ["007", True, "cc0", "1", 0.5, 1]
    assert [second[c.partition(":")[0]] for c in COLUMNS] == ["012", False, None, None, 2.0, None]
    assert json.loads(first["list_values"])["take"] == 1
    assert json.loads(second["list_values"])["license"] == ""
    assert stage.notes() == ()


def test_long_ids_stay_text_and_a_text_that_was_cut_within_a_character_is_stored(tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_text("uri,video\na.mp4,7106594312292453675\nb.mp4,7106594312292453676\n")
    (tmp_path / "l.jsonl").write_text(r'{"uri": "\ud83d.mp4", "title": "cut \ud83d", "tags": ["\ud83d"]}')
    assert find_list_columns(str(tmp_path / "l.csv"), ()) == ("video:str",)
    assert [e.values["video"][-1] for e in parse_list("l.csv", (tmp_path / "l.csv").read_bytes())] == [
        "5",
        "6",
    ]
    footage = str(tmp_path / "l.jsonl")
    (row,) = ListVideos(root=footage, list_columns=find_list_columns(footage, ())).rows()
    assert (vars(row)["title"], vars(row)["tags"], row.source) == ("cut ?", '["?"]', "?.mp4")
    assert row.list_error


def test_vectors_and_bytes_of_a_parquet_list_are_not_read(tmp_path: Path) -> None:
    _films(tmp_path)
    record = {"uri": "a.mp4", "score": 1, "tags": ["x", "y"], "embedding": [0.5, 0.25], "thumbnail": b"jpeg"}
    footage = _write(tmp_path, ".parquet", [record])
    assert find_list_columns(footage, ()) == ("score:float", "tags:str")


@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".parquet"])
def test_a_signed_url_in_a_column_is_stored_without_its_signature(ending: str, tmp_path: Path) -> None:
    _films(tmp_path)
    record = {"uri": "a.mp4", "score": 1, "page": "https://h/p?v=1", "thumb": "https://h/t.jpg?Signature=abc"}
    footage = _write(tmp_path, ending, [record])
    (row,) = ListVideos(root=footage, list_columns=find_list_columns(footage, ())).rows()
    assert (vars(row)["page"], vars(row)["thumb"]) == ("https://h/p?v=1", "https://h/t.jpg")
    assert "abc" not in vars(row)["list_values"]


def test_names_that_are_taken_or_invalid_get_a_prefix_and_others_are_reported(tmp_path: Path) -> None:
    _films(tmp_path)
    footage = _write(
        tmp_path, ".jsonl", [{"uri": "a.mp4", "source": "x", "class": "y", "2d": 1, "日本": 2, "": 3}]
    )
    columns = find_list_columns(footage, {"source"})
    assert columns == ("list_2d:int", "list_class:str", "list_source:str")
    (note,) = ListVideos(root=footage, list_columns=columns).notes()
    assert "日本" in note


def test_two_columns_of_one_name_and_values_of_another_type_are_refused(tmp_path: Path) -> None:
    _films(tmp_path)
    with pytest.raises(ClipmillError, match="both become 'camera_id'"):
        find_list_columns(_write(tmp_path, ".jsonl", [{"uri": "a.mp4", "camera id": 1, "Camera-ID": 2}]), ())
    footage = _write(tmp_path, ".jsonl", [{"uri": "a.mp4", "take": "one"}])
    with pytest.raises(ClipmillError, match="take is 'one' in the list"):
        ListVideos(root=footage, list_columns=("take:int",)).digest()
    with pytest.raises(ClipmillError, match="has no type"):
        ListVideos(root=footage, list_columns=("take",)).digest()


def _keys(root: Path, records: list[dict[str, Any]]) -> dict[str, Keys]:
    dag = Dag("listed")
    videos = read_footage(dag, _write(root, ".csv", records), Footage(where="license == 'cc0'"), (), 16)
    dag.save(videos.annotate(ProbeVideo()), "videos")
    return compute_keys(dag)


def test_a_changed_value_lists_again_and_decides_rules_again_but_probes_nothing_again(tmp_path: Path) -> None:
    _films(tmp_path)
    before, same = _keys(tmp_path, RECORDS), _keys(tmp_path, RECORDS)
    other_take = _keys(tmp_path, [{**record, "take": 5} for record in RECORDS])
    other_license = _keys(tmp_path, [{**record, "License": "cc0"} for record in RECORDS])
    assert before == same
    rule, probe, source = "excluded_by_where", "probe_video", "list_videos"
    for changed in (other_take, other_license):
        assert changed[source].run != before[source].run
        assert changed[probe].content == before[probe].content
    assert other_take[rule].content == before[rule].content
    assert other_license[rule].content != before[rule].content


def test_the_probe_of_a_listed_film_is_that_of_a_film_in_a_folder(tmp_path: Path) -> None:
    _films(tmp_path)
    listed = _keys(tmp_path, RECORDS)["probe_video"].content
    dag = Dag("folder")
    dag.save(read_footage(dag, str(tmp_path), Footage(), (), 16).annotate(ProbeVideo()), "videos")
    assert compute_keys(dag)["probe_video"].content == listed


def test_curate_takes_the_columns_and_the_split_of_a_list(tmp_path: Path) -> None:
    footage = _write(tmp_path, ".csv", [{**RECORDS[0], "split": "val"}])
    dag = curate(footage)
    assert "split_clips" in dag.nodes
    assert {"license", "list_caption", "list_split", "list_values"} <= set(dag.views["pack_shards"].columns)
    assert "split_clips" not in curate(str(tmp_path)).nodes
    assert "list_values" not in curate("no/list.csv").views["pack_shards"].columns


def test_rules_on_columns_that_the_list_lacks_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ClipmillError, match="licence"):
        curate(_write(tmp_path, ".csv", RECORDS), inputs=Footage(where="licence == 'cc0'"))
