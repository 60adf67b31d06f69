"""The thresholds are described knobs of every recipe; a changed threshold changes only its own rule."""

from dataclasses import fields
from pathlib import Path

import pytest

import stages.recipes
from pipeline import Keep
from pipeline.recipes.recipe import build_dag, load_recipe
from stages.recipes.filters import DEFAULT_FILTERS, Filters, rules

FOLDER = Path(stages.recipes.__file__).parent


@pytest.mark.parametrize("name", ["curate", "latents", "world", "demo"])
def test_every_recipe_has_all_thresholds(name: str) -> None:
    recipe = load_recipe(FOLDER / f"{name}.py")
    knobs = {knob.name: knob for knob in recipe.knobs}
    for field in fields(Filters):
        assert knobs[field.name].default == getattr(DEFAULT_FILTERS, field.name)
        assert knobs[field.name].doc, f"{field.name} has no description"
    usual, other = (build_dag(recipe, {"footage": "x", **more}) for more in ({}, {"max_noise": "3.5"}))
    changed = [step for step, node in usual.nodes.items() if other.nodes[step] != node]
    assert changed == ["noisy"]
    assert other.nodes["noisy"].work == Keep("noise < 3.5", "noisy")


def test_every_threshold_of_a_measurement_has_one_rule() -> None:
    no_rule = {
        "min_cut_score",
        "min_transition_score",
        "min_duration_s",
        "min_frames",
    }  # other steps use these
    for field in fields(Filters):
        if field.name not in Filters.__annotations__:  # test_limits.py
            continue
        changed = Filters(**{field.name: 0.123})
        differ = [
            one for one, other in zip(rules(DEFAULT_FILTERS), rules(changed), strict=True) if one != other
        ]
        assert len(differ) == (0 if field.name in no_rule else 1), field.name
