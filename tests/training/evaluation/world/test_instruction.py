"""The metric instruction, and object permanence, on episodes of the simulator whose truth is known."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from stages.simulation.instruction import InstructionEpisodes
from stages.simulation.write_films import write_films
from training.cli import main
from training.evaluation.world.films import read_film
from training.recipes.sampling import write_video

pytest.importorskip("pymunk", reason="the extra `simulation` is not installed")
OBJECTS = ("--object", "puck=196,60,50", "--object", "pusher=50,80,170")
FPS = 8.0


@pytest.fixture
def films(tmp_path: Path) -> Path:
    """Folders `truth`, `made` (the truth) and `shuffled` (films of another instruction)."""
    listed = write_films(tmp_path / "truth", InstructionEpisodes(fps=FPS, frames=28, size=32), 6)
    with listed.open(encoding="utf-8") as file:
        edges = {row["uri"]: row["instruction"] for row in csv.DictReader(file)}
    for folder in ("made", "shuffled"):
        (tmp_path / folder).mkdir()
    for name, edge in edges.items():
        shutil.copy(tmp_path / "truth" / name, tmp_path / "made" / name)
        other = next(each for each, its_edge in edges.items() if its_edge != edge)
        shutil.copy(tmp_path / "truth" / other, tmp_path / "shuffled" / name)
    return tmp_path


def evaluate(films: Path, *options: str) -> dict[str, Any]:
    out = films / "out.json"
    folders = ["--videos", str(films / "made"), "--reference", str(films / "truth"), "--json", str(out)]
    assert main(["evaluate", "world", *folders, "--num-threads", "1", *options]) == 0
    return dict(json.loads(out.read_text()))


def test_the_right_instruction_is_followed_and_all_controls_are_not(films: Path) -> None:
    options = ("--metrics", "instruction,objects", "--shuffled", str(films / "shuffled"), *OBJECTS)
    tables = evaluate(films, *options)["tables"]
    rows = tables["instruction"]["rows"]
    assert list(rows) == [
        "model",
        "ground truth",
        "ground truth, wrong condition",
        "wrong condition",
        "shuffled condition",
        "first frame repeated",
        "constant velocity",
    ]
    solved = {row: each["instruction_solved_share"]["mean"] for row, each in rows.items()}
    assert solved["model"] == solved["ground truth"] == 1
    for row in ("wrong condition", "ground truth, wrong condition", "shuffled condition"):
        assert solved[row] == 0, row
    assert rows["model"]["instruction_distance"]["mean"] < 0.02
    assert rows["model"]["instruction_direction_deg"]["mean"] < 10
    assert rows["wrong condition"]["instruction_direction_deg"]["mean"] > 80
    frozen = rows["first frame repeated"]
    assert frozen["instruction_moved_share"]["mean"] == 0
    assert frozen["instruction_direction_deg"]["mean"] is None
    assert frozen["instruction_distance"]["mean"] > 0.15
    assert rows["model"]["instruction_found_share"]["mean"] == 1
    objects = tables["objects"]["rows"]["model"]
    assert objects["puck_found_share"]["mean"] == objects["pusher_found_share"]["mean"] == 1


def test_an_object_that_vanishes_has_not_arrived(films: Path) -> None:
    first, second = sorted((films / "made").glob("*.mp4"))[:2]
    for video, in_truth in ((first, False), (second, True)):
        frames, _ = read_film(video)
        table = frames[0, 0, 0]
        frames[14:] = table
        write_video(frames, FPS, video)
        if in_truth:  # frames in which the reference does not show it do not count
            truth, _ = read_film(films / "truth" / video.name)
            truth[20:] = table
            write_video(truth, FPS, films / "truth" / video.name)
    tables = evaluate(films, "--metrics", "instruction,objects", *OBJECTS)["tables"]
    clips = tables["instruction"]["clips"]["model"]
    assert clips["instruction_solved_share"][first.stem] == 0
    assert clips["instruction_found_share"][first.stem] == 0
    found = tables["objects"]["clips"]["model"]["puck_found_share"]
    assert found[first.stem] == pytest.approx(13 / 27)
    assert found[second.stem] == pytest.approx(13 / 19)


def test_films_without_an_instruction_or_a_color_are_named(films: Path) -> None:
    names = sorted(path.stem for path in (films / "made").glob("*.mp4"))
    without, moving, ball = (films / "truth" / f"{name}.conditions.parquet" for name in names[:3])
    pq.write_table(pq.read_table(without).drop_columns(["instruction_region"]), without)
    table = pq.read_table(moving)
    regions = np.array(table["instruction_region"].to_pylist())
    regions[3, 0] = 0.01
    place = table.column_names.index("instruction_region")
    pq.write_table(table.set_column(place, "instruction_region", [regions.tolist()]), moving)
    table = pq.read_table(ball)
    metadata = {key: value.replace(b'"puck"', b'"ball"') for key, value in table.schema.metadata.items()}
    pq.write_table(table.replace_schema_metadata(metadata), ball)
    found = evaluate(films, "--metrics", "instruction", "--object", "puck=196,60,50")
    missing = found["tables"]["instruction"]["missing"]
    assert missing[names[0]] == "its conditions have no instruction_region"
    assert "is about ball, whose color is unknown: add --object ball=R,G,B" in missing[names[2]]
    assert "is not one x_min, y_min, x_max, y_max in all rows" in found["failed"][names[1]]
