"""The examples of the recipes' README: the Python and the YAML recipe build the same DAG."""

import re
from pathlib import Path

import stages.recipes
from pipeline.recipes.recipe import build_dag, load_recipe

README = (Path(stages.recipes.__file__).parent / "README.md").read_text(encoding="utf-8")


def test_both_recipes_of_the_readme_build_the_same_dag(tmp_path: Path) -> None:
    built = []
    for language, suffix in (("python", "py"), ("yaml", "yaml")):
        file = tmp_path / f"long_shots.{suffix}"
        [text] = re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)
        file.write_text(text, encoding="utf-8")
        recipe = load_recipe(file)
        assert all(knob.doc for knob in recipe.knobs)
        assert recipe.doc.startswith("Find the long shots of a folder of videos.")
        built.append(build_dag(recipe, {"footage": "films"}))
    assert built[0].nodes == built[1].nodes
    assert list(built[0].outputs) == list(built[1].outputs) == ["shots"]


def test_the_readme_names_every_recipe() -> None:
    folder = Path(stages.recipes.__file__).parent
    linked = set(re.findall(r"\]\((\w+\.py)\)", README))
    assert linked >= {"curate.py", "latents.py", "world.py", "demo.py"}
    assert all((folder / name).is_file() for name in linked)
