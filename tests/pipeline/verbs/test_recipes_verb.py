"""`clipmill recipes`: the list and the knobs of a recipe, as text and as JSON."""

import json
from pathlib import Path

import pytest

from pipeline.cli import main
from pipeline.recipes.catalog import find_recipe, list_recipes
from pipeline.verbs.help_text import WIDTH

RECIPES = list_recipes()


def printed(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert main(words) == 0
    return capsys.readouterr().out


def test_the_list_names_every_recipe_with_purpose_and_path(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(["recipes"], capsys)
    assert [name for name, _, _ in RECIPES] == [
        "autoregressive", "curate", "demo", "demo_autoregressive", "diffusion_decoder", "encode_shards",
        "generate", "judge", "latents", "recordings", "simulation", "world",
    ]  # fmt: skip
    for name, file, purpose in RECIPES:
        assert purpose.endswith(".")
        assert f" {name} {purpose} " in f" {' '.join(text.split())}"
        assert f"stages/recipes/{file.name}" in text
    assert max(map(len, text.splitlines())) <= WIDTH


def test_json_lists_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(printed(["recipes", "--json"], capsys))
    assert [(r["name"], Path(r["path"]), r["purpose"]) for r in found] == RECIPES


@pytest.mark.parametrize("name", [name for name, _, _ in RECIPES])
def test_a_recipe_prints_its_knobs(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = find_recipe(name)
    text = printed(["recipes", name], capsys)
    assert text == printed(["recipes", recipe.path], capsys)
    assert max(map(len, text.splitlines())) <= WIDTH
    flat = " ".join(text.split())
    for knob in recipe.knobs:
        assert knob.description in flat
    found = json.loads(printed(["recipes", name, "--json"], capsys))
    assert [knob["name"] for knob in found["knobs"]] == list(recipe.knob_names())
    required = [knob["name"] for knob in found["knobs"] if knob["required"]]
    others = {
        "encode_shards": ["shards"],
        "generate": ["model"],
        "diffusion_decoder": ["footage", "codes"],
        "judge": ["videos", "reference", "model"],
    }
    assert required == others.get(name, ["footage"])


def test_comments_describe_the_knobs_of_a_yaml_recipe(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "few.yaml"
    recipe.write_text(
        "# Lists long videos.\n"
        "dag: few\n"
        "knobs:\n"
        "  footage: null  # Folder of the videos.\n"
        "  # Minimum duration in seconds.\n"
        "  # Higher drops more.\n"
        "  min_duration_s: 2.0\n"
        "  unknown: 3\n"
        "steps:\n"
        "  list_videos: {stage: ListVideos, with: {root: '${footage}'}}\n"
    )
    text = " ".join(printed(["recipes", str(recipe)], capsys).split())
    assert "few Lists long videos." in text
    assert "footage Folder of the videos." in text
    assert "min_duration_s=2.0 Minimum duration in seconds. Higher drops more." in text
    assert "unknown=3 No description; the value is a whole number." in text


def test_an_unknown_recipe_names_the_closest_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipes", "currate"]) == 2
    assert "did you mean curate?" in capsys.readouterr().err
    assert main(["recipes", "zzz"]) == 2
    assert ", ".join(name for name, _, _ in RECIPES) in capsys.readouterr().err
