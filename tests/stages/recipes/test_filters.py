"""The thresholds are knobs of every recipe, each with its meaning; a changed one changes its rule alone."""

from dataclasses import fields
from pathlib import Path

import pytest

import stages.recipes
from pipeline import Keep
from pipeline.recipes.recipe import load_recipe, turn
from stages.recipes.filters import DEFAULT_FILTERS, Filters, rules

FOLDER = Path(stages.recipes.__file__).parent


@pytest.mark.parametrize("name", ["curate", "latents", "world", "demo"])
def test_every_recipe_has_them_all(name: str) -> None:
    recipe = load_recipe(FOLDER / f"{name}.py")
    knobs = {knob.name: knob for knob in recipe.knobs}
    for field in fields(Filters):
        assert knobs[field.name].default == getattr(DEFAULT_FILTERS, field.name)
        assert knobs[field.name].doc, f"{field.name} has no meaning"
    usual, other = (turn(recipe, {"footage": "x", **more}) for more in ({}, {"max_noise": "3.5"}))
    changed = [step for step, node in usual.nodes.items() if other.nodes[step] != node]
    assert changed == ["noisy"]
    assert other.nodes["noisy"].work == Keep("noise < 3.5", "noisy")


def test_every_threshold_of_a_measurement_has_one_rule() -> None:
    apart = {"cut", "transition", "min_duration_s", "min_frames"}  # these are for others to use
    for field in fields(Filters):
        changed = Filters(**{field.name: 0.123})
        differ = [
            one for one, other in zip(rules(DEFAULT_FILTERS), rules(changed), strict=True) if one != other
        ]
        assert len(differ) == (0 if field.name in apart else 1), field.name
