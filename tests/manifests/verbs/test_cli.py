"""The verbs clipmill manifest show | check | diff, called as on the command line."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from small_store import SmallStore, make_store

from manifests.schema import schema_of
from manifests.stores.folder import FolderStore
from manifests.table import RowCounts, part_name
from pipeline.cli import main


def test_show_lists_the_tables_of_a_store(small: SmallStore, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["manifest", "show", str(small.store.root)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[2:]] == [
        small.videos, small.motion, small.drops, small.clips, small.duplicates,
    ]  # fmt: skip
    assert lines[3].split()[1:] == ["layer", "5", "2", "1", "0"]
    assert lines[4].split()[1:] == ["drops", "1", "2", "1", "1"]


def test_show_prints_columns_origin_and_rows_of_a_table(
    small: SmallStore, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["manifest", "show", f"{small.store.root}/{small.motion}/", "--rows", "2"]) == 0
    shown = capsys.readouterr().out
    assert "motion_mean  double or missing  px    mean motion" in shown
    assert "strip        artifact                 stills" in shown
    assert f"inputs           {small.videos}" in shown
    assert "toys:measure_motion" in shown
    assert shown.rstrip().splitlines()[-3].split() == ["id", "motion_mean", "strip"]


def test_show_as_json_is_json(small: SmallStore, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["manifest", "show", str(small.store.root), "--json"]) == 0
    assert [t["rows"] for t in json.loads(capsys.readouterr().out)] == [6, 5, 1, 6, 6]
    assert main(["manifest", "show", f"{small.store.root}/{small.motion}", "--json", "--rows", "9"]) == 0
    output = json.loads(capsys.readouterr().out)
    assert [row["motion_mean"] for row in output["first_rows"]] == [0.5, 0.1, 2.0, 0.45, None]
    assert output["columns"][1]["unit"] == "px"
    assert output["complete"] is True


def test_show_marks_an_unfinished_table(small: SmallStore, capsys: pytest.CaptureFixture[str]) -> None:
    small.store.remove(f"{small.motion}/manifest.json")
    assert main(["manifest", "show", str(small.store.root)]) == 0
    assert "not finished" in capsys.readouterr().out
    assert main(["manifest", "show", f"{small.store.root}/{small.motion}"]) == 0
    assert "not finished" in capsys.readouterr().out


def test_control_characters_in_names_are_escaped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from small_store import Video, write_table

    store = FolderStore(tmp_path)
    rows = [{"id": "a", "source": "\x1b]0;owned\x07\r\n\u202eevil.mp4"}]
    folder = write_table(store, "list_videos", "source", schema_of(Video), [(rows, RowCounts(), ())])
    assert main(["manifest", "show", f"{tmp_path}/{folder}"]) == 0
    shown = capsys.readouterr().out
    assert "\\x1b]0;owned\\x07\\r\\n\\u202eevil.mp4" in shown
    assert not {"\x1b", "\x07", "\r", "\u202e"} & set(shown)


def test_check_exits_with_0_or_1(small: SmallStore, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["manifest", "check", str(small.store.root), "--deep"]) == 0
    assert "valid: no faults" in capsys.readouterr().out
    (small.store.root / small.motion / part_name(0)).write_bytes(b"")
    assert main(["manifest", "check", str(small.store.root)]) == 1
    shown = capsys.readouterr().out
    assert "fault: the file is not the one that the manifest lists" in shown
    assert f"where:  {small.store.root}/{small.motion}/{part_name(0)}" in shown
    assert "remedy: delete it" in shown
    assert main(["manifest", "check", str(small.store.root), "--json"]) == 1
    output = json.loads(capsys.readouterr().out)
    assert output["valid"] is False
    assert output["faults"][0]["remedy"]
    assert main(["manifest", "check", f"{small.store.root}/{small.clips}"]) == 0


def test_diff_prints_which_rows_a_changed_rule_affects(
    small: SmallStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = make_store(tmp_path / "other", min_motion=0.48)
    assert main(["manifest", "diff", str(small.store.root), str(other.store.root), "--exit-code"]) == 1
    shown = capsys.readouterr().out
    assert "measure_motion: equal, 5 rows" in shown
    assert "no_motion: 1 rows dropped in both, 0 only here, 1 only there" in shown
    assert "keep: motion_mean >= 0.4 here, motion_mean >= 0.48 there" in shown
    assert "find_shots: 4 rows in both, 2 only here, 0 only there" in shown
    assert main(["manifest", "diff", str(small.store.root), str(other.store.root), "--json"]) == 0
    output = {d["node"]: d for d in json.loads(capsys.readouterr().out)}
    assert [output[n]["equal"] for n in ("measure_motion", "no_motion")] == [True, False]
    assert len(output["find_shots"]["examples"]["only_here"]) == 2


def test_equal_stores_are_equal_wherever_they_are(
    small: SmallStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(small.store.root, tmp_path / "copy")
    assert main(["manifest", "diff", str(small.store.root), str(tmp_path / "copy"), "--exit-code"]) == 0
    assert all(": equal, " in line for line in capsys.readouterr().out.splitlines())


def test_diff_of_two_tables_shows_what_changed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from small_store import write_table

    store = FolderStore(tmp_path)
    fields = [
        ("id", pa.string()), ("x", pa.float64()), ("words", pa.list_(pa.string())), ("n", pa.int64()),
    ]  # fmt: skip
    nan = float("nan")
    one = [("a", 1.0, ["u"], 1), ("b", nan, ["v"], 2), ("c", None, None, 3), ("d", 4.0, ["w"], 4)]
    two = [("d", 5.0, ["w"]), ("c", 0.0, None), ("b", nan, ["v", "v"]), ("e", 1.0, [])]
    places = []
    for number, rows in enumerate((one, two)):
        schema = pa.schema(fields[: len(rows[0])])
        records = [dict(zip(schema.names, row, strict=True)) for row in rows]
        made_by = {"stage": "toys:x", "version": number, "settings": {"side": 8 + number}, "digest": ""}
        folder = write_table(store, "x", "layer", schema, [(records, RowCounts(), ())], made_by=made_by)
        places.append(f"{tmp_path}/{folder}")
    assert main(["manifest", "diff", *places]) == 0
    shown = capsys.readouterr().out
    assert "x: 3 rows in both, 1 only here, 1 only there" in shown
    assert "side: 8 here, 9 there" in shown
    assert "version: 0 here, 1 there" in shown
    assert "only here: a" in shown
    assert "only there: e" in shown
    assert "column only here: n" in shown
    assert "x differs in 2 rows\n    c: missing → 0\n    d: 4 → 5" in shown
    assert "words differs in 1 rows\n    b: ['v'] → ['v', 'v']" in shown


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["show", "{root}/nowhere"], "no store and no table here"),
        (["check", "{root}/a-file"], "no store and no table here"),
        (["diff", "{root}/store", "{root}/store/{motion}"], "a store cannot be compared with a table"),
    ],
)
def test_errors_have_a_remedy_and_no_traceback(
    small: SmallStore, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    (tmp_path / "a-file").write_bytes(b"")
    assert main(["manifest", *(word.format(root=tmp_path, motion=small.motion) for word in words)]) == 1
    captured = capsys.readouterr()
    assert message in captured.err
    assert "remedy:" in captured.err
    assert "Traceback" not in captured.err
    assert captured.out == ""


def test_a_store_of_a_newer_format_is_refused(small: SmallStore, capsys: pytest.CaptureFixture[str]) -> None:
    small.store.replace("store.json", b'{"format": 99}')
    assert main(["manifest", "check", str(small.store.root)]) == 1
    assert "format 99" in capsys.readouterr().err


def test_wrong_usage_exits_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["manifest"]) == 2
    assert main(["manifest", "shwo"]) == 2
    assert main(["manifest", "check", "x", "--depe"]) == 2


def test_adding_the_verbs_does_not_import_pyarrow() -> None:
    code = (
        "import argparse, sys; from manifests.verbs.cli import add_verbs\n"
        "add_verbs(argparse.ArgumentParser().add_subparsers())\n"
        "print([name for name in ('pyarrow', 'fsspec', 'ray', 'torch', 'numpy') if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
