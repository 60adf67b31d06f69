"""Ranges of numbers: every knob and setting has one; a value outside is an error before anything runs."""

import json
from pathlib import Path
from typing import Any, get_args

import pytest

from manifests import Range
from pipeline.cli import main
from pipeline.errors import PlanError
from pipeline.planning.keys import hashed_settings
from pipeline.recipes.catalog import find_recipe, list_recipes
from pipeline.recipes.discovery import load_stages, setting_types
from pipeline.recipes.values import range_of
from stages.quality.measure_light import MeasureLight
from training.cli import parse_knobs
from training.errors import SettingError
from training.recipes.config import TrainingConfig

RECIPES = {name: find_recipe(name) for name, _, _ in list_recipes()}
STAGES = load_stages(("stages",))
NUMBERS = (int, float)


def without_range(declared: Any) -> bool:
    """Whether a declared type allows any number."""
    if range_of(declared):
        return False
    return declared in NUMBERS or any(without_range(inner) for inner in get_args(declared))


@pytest.mark.parametrize("name", RECIPES)
def test_every_number_of_a_recipe_has_a_range(name: str) -> None:
    assert [knob.name for knob in RECIPES[name].knobs if without_range(knob.value_type)] == []


@pytest.mark.parametrize("name", STAGES)
def test_every_number_of_a_stage_has_a_range(name: str) -> None:
    types = setting_types(STAGES[name])
    assert [setting for setting, declared in types.items() if without_range(declared)] == []


@pytest.mark.parametrize(
    ("limits", "inside", "outside", "text"),
    [
        (Range(0, 51), (0, 51), (-1, 52), "0 to 51"),
        (Range(1), (1, 10**9), (0,), "at least 1"),
        (Range(above=0), (1e-9,), (0, -1), "above 0"),
        (Range(above=0, below=0.28), (0.1,), (0, 0.28), "above 0 and below 0.28"),
        (Range(max=5), (-3, 5), (5.1,), "at most 5"),
    ],
)
def test_a_range(limits: Range, inside: tuple[float, ...], outside: tuple[float, ...], text: str) -> None:
    assert all(map(limits.contains, inside))
    assert not any(map(limits.contains, (*outside, float("nan"), float("inf"), float("-inf"))))
    assert str(limits) == text


@pytest.mark.parametrize(
    ("knob", "allowed"),
    [
        ("crf=99", "99 is out of range; allowed: 0 to 51"),
        ("crf=-1", "allowed: 0 to 51"),
        ("min_cut_score=3", "allowed: 0.05 to 1"),
        ("min_duration_s=-2", "allowed: at least 0"),
        ("max_still_share=1.5", "allowed: 0 to 1"),
        ("max_noise=nan", "'nan' is not a number, at least 0"),
        ("max_noise=inf", "'inf' is not a number, at least 0"),
        ("shard_mb=0", "allowed: at least 1"),
        ("lr=0", "allowed: above 0"),
        ("latent_video_frames=32", "it must be 1 + a multiple of 4"),
        ("latent_video_frames=1", "needs at least"),
        ("model=enormous", "there is no model 'enormous'"),
        ("tokenizer=enormous", "enormous"),
        ("detector=psychic", "there is no detector 'psychic'"),
    ],
)
def test_a_wrong_knob_is_an_error_before_anything_runs(
    knob: str, allowed: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [RECIPES["world"].path, f"footage={tmp_path}", f"store={tmp_path / 'store'}", knob]
    assert main(["run", *words, "--inline"]) == 2
    error = capsys.readouterr().err
    assert allowed in error
    assert "where:" in error
    assert not (tmp_path / "store").exists()


def test_a_wrong_setting_in_yaml_names_its_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = tmp_path / "films.yaml"
    recipe.write_text(
        "dag: films\nknobs:\n  quality: 18\nsteps:\n  list_videos:\n    stage: ListVideos\n"
        "    with: {root: films, limit: -1}\n"
    )
    assert main(["yaml", str(recipe)]) == 2
    error = capsys.readouterr().err
    assert "setting limit of ListVideos: -1 is out of range; allowed: at least 0" in error
    assert "films.yaml, line 7" in error


def test_a_wrong_setting_in_python_is_an_error_of_the_plan() -> None:
    with pytest.raises(PlanError, match="setting smoothing_s of MeasureLight: -1"):
        hashed_settings(MeasureLight(smoothing_s=-1.0))
    assert hashed_settings(MeasureLight(smoothing_s=1)) == {"smoothing_s": 1.0}


@pytest.mark.parametrize("knob", ["steps=0", "lr=-1", "lr=nan", "batch_size=0", "model=enormous", "stepz=3"])
def test_a_wrong_knob_of_the_training_is_wrong_usage(knob: str) -> None:
    with pytest.raises(SettingError) as error:
        TrainingConfig(data=(), **parse_knobs([knob]))
    assert error.value.exit_code == 2


@pytest.mark.parametrize(
    "words",
    [
        ["run", "RECIPE", "store=x", "--workers", "-3"],
        ["try", "RECIPE", "store=x", "--examples", "-1"],
        ["manifest", "show", "x", "--rows", "-1"],
        ["sample", "--model", "x", "--out", "y", "--num-inference-steps", "0"],
        ["evaluate", "--model", "x", "--data", "y", "--max-clips", "none"],
    ],
    ids=lambda words: words[0],
)
def test_a_wrong_number_of_an_option_is_wrong_usage(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([RECIPES["curate"].path if word == "RECIPE" else word for word in words]) == 2
    error = capsys.readouterr().err
    assert "at least" in error
    assert words[-2] in error


def test_help_and_schema_state_the_range(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipes", "curate"]) == 0
    assert "Range: 0 to 51." in " ".join(capsys.readouterr().out.split())
    assert main(["stages", "CutClip"]) == 0
    assert "Range: 0 to 51." in " ".join(capsys.readouterr().out.split())
    assert main(["yaml", "--schema", RECIPES["curate"].path]) == 0
    knobs = json.loads(capsys.readouterr().out)["properties"]["knobs"]["properties"]
    assert knobs["crf"]["anyOf"][0] == {"type": "integer", "minimum": 0, "maximum": 51}
