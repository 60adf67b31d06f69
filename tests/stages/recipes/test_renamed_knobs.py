"""Renamed knobs, columns and stages: an error for the old name suggests the new name."""

import pytest

from manifests.messages import closest_name
from pipeline.errors import RecipeError
from pipeline.recipes.catalog import describe_stages, find_recipe
from pipeline.recipes.recipe import build_dag
from training.cli import parse_knobs
from training.errors import TrainingError


@pytest.mark.parametrize(
    ("recipe", "old", "new"),
    [
        ("curate", "darkest", "min_highlight_luma"),
        ("curate", "duplicate_similarity", "max_semantic_similarity"),
        ("curate", "max_s", "max_duration_s"),
        ("world", "rate", "lr"),
        ("world", "size", "model"),
    ],
)
def test_an_old_knob_suggests_the_new_one(recipe: str, old: str, new: str) -> None:
    with pytest.raises(RecipeError) as caught:
        build_dag(find_recipe(recipe), {"footage": "films", old: "0.5"})
    assert caught.value.remedy.startswith(f"did you mean {new!r}?")


def test_an_old_training_knob_suggests_the_new_one() -> None:
    with pytest.raises(TrainingError, match="did you mean weight_decay"):
        parse_knobs(["decay=0.1"])


def test_an_old_stage_suggests_the_new_one() -> None:
    with pytest.raises(RecipeError, match="did you mean MeasureSpeed"):
        describe_stages("MeasurePace")


def test_an_old_name_suggests_only_names_that_exist_here() -> None:
    assert closest_name("alike", ["min_similarity", "noise"]) == "min_similarity"
    assert closest_name("haste", ["noise", "speed_score"]) == "speed_score"
    assert closest_name("haste", ["noise", "flicker"]) == ""
