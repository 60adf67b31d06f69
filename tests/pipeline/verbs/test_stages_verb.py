"""`clipmill stages`: the list and the details of a stage, as text and as JSON."""

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
import toys

from pipeline.cli import main
from pipeline.dag import snake_case
from pipeline.recipes.catalog import describe_stages, list_stages
from pipeline.recipes.discovery import find_stage, setting_types, stage_names
from pipeline.verbs.help_text import WIDTH, value_text

STAGES = list_stages()
details = cache(lambda name: describe_stages(name)[0])
NAMES = [entry.name for entry in STAGES]


def printed(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert main(words) == 0
    return capsys.readouterr().out


def test_the_list_names_every_stage_below_its_subject(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(["stages"], capsys)
    assert sorted(entry.full_name for entry in STAGES) == list(stage_names(("stages",)))
    subject = ""
    listed = []
    for line in text.splitlines()[:-1]:
        if line and not line.startswith(" "):
            subject = line
        elif line.startswith("  ") and line[2] != " ":
            listed.append((subject, line.split()[0]))
    assert listed == [(entry.subject, entry.name) for entry in STAGES]
    assert max(map(len, text.splitlines())) <= WIDTH


@pytest.mark.parametrize("entry", STAGES, ids=lambda entry: entry.name)
def test_every_stage_has_a_purpose(entry) -> None:  # type: ignore[no-untyped-def]
    assert entry.purpose.endswith(".")
    assert entry.purpose[:1].isupper()


@pytest.mark.parametrize("name", NAMES)
def test_every_setting_has_a_description(name: str) -> None:
    stage = details(name)
    assert [s.name for s in stage.settings] == list(setting_types(find_stage(name, ("stages",))))
    assert [s.name for s in stage.settings if not s.description.endswith((".", ")"))] == []


@pytest.mark.parametrize("name", NAMES)
def test_every_column_has_a_meaning(name: str) -> None:
    stage = details(name)
    assert [column.name for column in stage.adds if not column.meaning] == []
    read = [column.name for column in stage.reads if not column.meaning and not column.optional]
    assert read == [], "no stage adds these columns"


def test_details_hold_settings_columns_and_needs(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(["stages", "measure_motion"], capsys)
    assert text == printed(["stages", "MeasureMotion"], capsys)
    assert max(map(len, text.splitlines())) <= WIDTH
    stage = details("MeasureMotion")
    lines = text.splitlines()
    assert lines[0] == f"MeasureMotion (Annotate, version {stage.version})"
    for title in ("settings", "reads", "adds", "needs of one worker"):
        assert title in lines
    flat = " ".join(text.split())
    for setting in stage.settings:
        default = value_text(setting.default)
        assert f"{setting.name}: {setting.type} = {default} {setting.description}" in flat
    for column in (*stage.reads, *stage.adds):
        assert column.meaning in flat
    still = next(column for column in stage.adds if column.name == "still_share")
    assert f"still_share float, in 0..1: {still.meaning}" in flat
    assert f"batch={stage.needs['batch']}" in flat


def test_json_says_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    entries = json.loads(printed(["stages", "--json"], capsys))
    assert [entry["name"] for entry in entries] == NAMES
    (stage,) = json.loads(printed(["stages", "TrainWorld", "--json"], capsys))
    assert (stage["kind"], stage["full_name"]) == (
        "Launch",
        "stages.models_trained.train_world:TrainWorld",
    )
    steps = next(setting for setting in stage["settings"] if setting["name"] == "steps")
    assert (steps["type"], steps["required"], steps["default"]) == ("int", False, 200)
    assert {column["name"] for column in stage["adds"]} >= {"model", "loss_last"}


def test_a_source_reads_nothing_and_its_required_setting_is_marked() -> None:
    stage = details("list_videos")
    assert stage.reads == ()
    assert next(s for s in stage.settings if s.name == "root").required


def test_stages_of_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "measure_size_of_names.py"
    file.write_text(
        "from manifests import Row, column\nfrom pipeline import Annotate\n\n\n"
        "class Video(Row):\n    id: str\n    source: str\n\n\n"
        "class NameSize(Row):\n    name_size: int = column('characters of the name')\n\n\n"
        "class MeasureSizeOfNames(Annotate[Video, NameSize]):\n"
        '    """Measures names."""\n\n    def annotate(self, rows):\n        return []\n'
    )
    (found,) = json.loads(printed(["stages", str(file), "--json"], capsys))
    assert (found["name"], found["purpose"]) == ("MeasureSizeOfNames", "Measures names.")
    assert [column["added_by"] for column in found["reads"]] == [
        [],
        ["ListCameras", "ListVideos", "ListPrompts"],
    ]
    assert found["adds"][0]["meaning"] == "characters of the name"
    assert main(["stages", toys.__file__.replace("toys.py", "none.py")]) == 2


@pytest.mark.parametrize(
    ("name", "remedy"),
    [("MeasureMotoin", "MeasureMotion?"), ("measure_moton", "MeasureMotion?"), ("zzz", "lists all stages")],
)
def test_an_unknown_stage_names_the_closest_one(
    name: str, remedy: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["stages", name]) == 2
    error = capsys.readouterr().err
    assert f"there is no stage {name!r}" in error
    assert remedy in error


def test_the_list_imports_no_stage_and_nothing_heavy() -> None:
    heavy = ("torch", "ray", "av", "cv2", "stages.scan.scan_video")
    code = (
        "import sys; from pipeline.cli import main; main(['stages']); "
        f"found = [m for m in {heavy!r} if m in sys.modules]; assert not found, found"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, check=True)


def test_snake_case_names_are_unique() -> None:
    assert len({snake_case(name) for name in NAMES}) == len(NAMES)
