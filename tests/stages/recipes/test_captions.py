"""A model captions what is unique, in every recipe, and its captions are kept by rules."""

from dataclasses import fields
from pathlib import Path

import pytest

import stages.recipes
from pipeline import Keep
from pipeline.errors import RecipeError
from pipeline.planning.keys import keys_of, made_by
from pipeline.recipes.recipe import load_recipe, turn
from stages.captions.caption_clip import CaptionClip
from stages.recipes.captions import DEFAULT_CAPTIONS, Captions, rules
from stages.recipes.curate import curate

FOLDER = Path(stages.recipes.__file__).parent
ASKED = {"caption_model": "m", "caption_endpoint": "http://host:8000/v1"}


@pytest.mark.parametrize("name", ["curate", "latents", "world", "demo"])
def test_every_recipe_can_ask_a_model(name: str) -> None:
    recipe = load_recipe(FOLDER / f"{name}.py")
    knobs = {knob.name: knob for knob in recipe.knobs}
    for field in fields(Captions):
        assert knobs[field.name].default == getattr(DEFAULT_CAPTIONS, field.name)
        assert knobs[field.name].doc, f"{field.name} has no meaning"
    usual, asked = (turn(recipe, {"footage": "x", **more}) for more in ({}, ASKED))
    assert "describe_clip" in usual.nodes
    assert "caption_clip" not in usual.nodes
    assert "describe_clip" not in asked.nodes
    order = list(asked.nodes)
    assert order.index("duplicate") < order.index("caption_clip") < order.index("cut_clip")
    asks = asked.nodes["caption_clip"].work
    assert isinstance(asks, CaptionClip)
    assert (asks.model, asks.endpoint, asks.prompt) == ("m", "http://host:8000/v1", "default")


def test_each_rule_has_its_knob() -> None:
    changed = Captions(
        min_caption_words=7, max_caption_words=70, max_caption_repetition=0.7, max_caption_duplicates=77
    )
    assert rules(changed) == (
        Keep("caption_words >= 7", "caption too short"),
        Keep("caption_words <= 70", "caption too long"),
        Keep("caption_repetition < 0.7", "caption rambles"),
        Keep("caption_duplicates < 77", "max_caption_duplicates caption"),
    )
    usual, other = (curate("x", captions=Captions(**ASKED, max_caption_duplicates=n)) for n in (25, 3))
    assert [step for step, node in usual.nodes.items() if other.nodes[step] != node] == ["stock_caption"]


def test_where_the_model_runs_is_no_part_of_the_key(tmp_path: Path) -> None:
    elsewhere = {**ASKED, "caption_endpoint": "http://other/v1"}
    (tmp_path / "a.mp4").write_bytes(b"no film")
    here, there = (curate(str(tmp_path), captions=Captions(**where)) for where in (ASKED, elsewhere))
    assert keys_of(here) == keys_of(there)
    assert "host" not in str(made_by(here.nodes["caption_clip"]))


def test_captions_may_be_refined_and_written_again() -> None:
    dag = curate("x", captions=Captions(**ASKED, caption_refine="refine", caption_enhancer="t"))
    order = list(dag.nodes)
    assert order.index("caption_clip") < order.index("enhance_caption") < order.index("measure_caption")
    assert dag.nodes["caption_clip"].work.refine == "refine"
    assert dag.nodes["enhance_caption"].work.model == "t"


def test_an_endpoint_without_a_model_is_a_mistake() -> None:
    with pytest.raises(RecipeError, match="no model is named"):
        curate("x", captions=Captions(caption_endpoint="http://host/v1"))
