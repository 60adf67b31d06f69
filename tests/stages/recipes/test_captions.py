"""In every recipe, a model captions the unique clips, and rules drop clips with bad captions."""

from dataclasses import fields
from pathlib import Path

import pytest

import stages.recipes
from pipeline import Keep
from pipeline.errors import RecipeError
from pipeline.planning.keys import compute_keys, made_by
from pipeline.recipes.recipe import build_dag, load_recipe
from stages.captions.caption_clip import CaptionClip
from stages.recipes.captions import DEFAULT_CAPTIONS, Captions, rules
from stages.recipes.curate import curate

FOLDER = Path(stages.recipes.__file__).parent
MODEL = {"caption_model": "m", "caption_endpoint": "http://host:8000/v1"}


@pytest.mark.parametrize("name", ["curate", "latents", "world", "demo"])
def test_every_recipe_can_caption_with_a_model(name: str) -> None:
    recipe = load_recipe(FOLDER / f"{name}.py")
    knobs = {knob.name: knob for knob in recipe.knobs}
    for field in fields(Captions):
        assert knobs[field.name].default == getattr(DEFAULT_CAPTIONS, field.name)
        assert knobs[field.name].doc, f"{field.name} has no description"
    without, captioned = (build_dag(recipe, {"footage": "x", **more}) for more in ({}, MODEL))
    assert "describe_clip" in without.nodes
    assert "caption_clip" not in without.nodes
    assert "describe_clip" not in captioned.nodes
    order = list(captioned.nodes)
    assert order.index("copy_of_another_clip") < order.index("caption_clip") < order.index("cut_clip")
    stage = captioned.nodes["caption_clip"].work
    assert isinstance(stage, CaptionClip)
    assert (stage.model, stage.endpoint, stage.prompt) == ("m", "http://host:8000/v1", "default")


def test_each_rule_has_its_knob() -> None:
    changed = Captions(
        min_caption_words=7, max_caption_words=70, max_caption_repetition=0.7, max_caption_duplicates=77
    )
    assert rules(changed) == (
        Keep("caption_words >= 7", "caption too short"),
        Keep("caption_words <= 70", "caption too long"),
        Keep("caption_repetition < 0.7", "repetitive caption"),
        Keep("caption_duplicates < 77", "duplicate caption"),
    )
    usual, other = (curate("x", captions=Captions(**MODEL, max_caption_duplicates=n)) for n in (25, 3))
    assert [step for step, node in usual.nodes.items() if other.nodes[step] != node] == ["duplicate_caption"]


def test_the_endpoint_is_not_part_of_the_key(tmp_path: Path) -> None:
    elsewhere = {**MODEL, "caption_endpoint": "http://other/v1"}
    (tmp_path / "a.mp4").write_bytes(b"not a video")
    here, there = (curate(str(tmp_path), captions=Captions(**where)) for where in (MODEL, elsewhere))
    assert compute_keys(here) == compute_keys(there)
    assert "host" not in str(made_by(here.nodes["caption_clip"]))


def test_captions_can_be_refined_and_rewritten() -> None:
    dag = curate("x", captions=Captions(**MODEL, caption_refine="refine", caption_enhancer="t"))
    order = list(dag.nodes)
    assert order.index("caption_clip") < order.index("enhance_caption") < order.index("measure_caption")
    assert dag.nodes["caption_clip"].work.refine_prompt == "refine"
    assert dag.nodes["enhance_caption"].work.model == "t"


def test_an_endpoint_without_a_model_is_an_error() -> None:
    with pytest.raises(RecipeError, match="caption_model is not"):
        curate("x", captions=Captions(caption_endpoint="http://host/v1"))
