"""Episodes with an instruction: the caption, the recorded region and what the puck does agree."""

import csv
from pathlib import Path

import numpy as np
import pytest

from pipeline.cli import main
from stages.conditions.sidecar import read_conditions, sidecar_uri
from stages.simulation.instruction import EDGES, InstructionEpisodes, is_at_edge, region_of
from stages.simulation.push_policy import expert_action
from stages.simulation.push_task import PushTask

pytest.importorskip("pymunk", reason="the extra `simulation` is not installed")


def test_the_puck_ends_at_the_edge_that_the_caption_names() -> None:
    films = [InstructionEpisodes(size=16).simulate(scene)[0] for scene in range(12)]
    assert {film.listed["instruction"] for film in films} == {*EDGES}
    assert sum(bool(film.listed["solved"]) for film in films) >= 11
    for film in films:
        edge, states = str(film.listed["instruction"]), film.conditions["state"]
        assert film.caption == f"Push the red puck to the {edge} edge."
        assert film.listed["policy_noise"] <= 0.1
        assert film.listed["solved"] == is_at_edge(states[-1], edge)
        assert not any(is_at_edge(states[0], other) for other in EDGES)
        np.testing.assert_array_equal(film.conditions["instruction_region"], [region_of(edge)] * 41)


def test_the_instruction_and_not_the_first_frame_decides_where_the_puck_goes() -> None:
    task, ends = PushTask(16, has_goal=False), {}
    for edge, goal in (("left", (0.08, 0.5)), ("top", (0.5, 0.92))):
        task.reset(state=[0.7, 0.3, 0.5, 0.5, 0, 0])
        for _ in range(40):
            task.advance(expert_action(task.state, goal))
        ends[edge] = [other for other in EDGES if is_at_edge(task.state, other)]
    assert ends == {"left": ["left"], "top": ["top"]}
    image, _ = task.reset(state=[0.1, 0.1, 0.9, 0.9, 0, 0])
    assert (image[8, 8] == image[2, 2]).all()  # no goal is drawn


def test_the_verb_writes_the_instruction_and_its_region(tmp_path: Path) -> None:
    command = ["simulate", "instruction", "--scenes", "2", "--size", "32", "--fps", "6", "--frames", "5"]
    for name in ("one", "two"):
        assert main([*command, "--noise", "0", "--out", str(tmp_path / name)]) == 0
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert all((tmp_path / "one" / n).read_bytes() == (tmp_path / "two" / n).read_bytes() for n in files)
    with (tmp_path / "one" / "list.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["policy_noise"] for row in rows] == ["0.0", "0.0"]
    sidecar = read_conditions(sidecar_uri(str(tmp_path / "one" / rows[0]["uri"])) or "")
    assert sidecar.spec["instruction_region"]["object"] == "puck"
    np.testing.assert_allclose(
        sidecar.columns["instruction_region"][0], region_of(rows[0]["instruction"]), rtol=1e-6
    )
