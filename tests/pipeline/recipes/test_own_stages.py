"""A recorded recipe with own stages is run again as it stands, from any working folder, in a new process."""

import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from pipeline.errors import RecipeError
from pipeline.recipes.yaml_text import from_yaml

TOYS = Path(__file__).parents[2] / "toys"
STAGE = '''
"""Scales numbers."""
from toys import N
from manifests import Row, column
from pipeline import Annotate

class Scaled(Row):
    scaled: int = column("the number, scaled")

class Scale(Annotate[N, Scaled]):
    """Scales."""
    factor: int = 2
    def annotate(self, rows):
        return [Scaled(scaled=row.n * self.factor) for row in rows]
'''
RECIPE = '''
"""Numbers, scaled and lifted."""
from toys import N, Numbers
from manifests import Row, column
from my_stages.scale import Scale
from pipeline import Annotate, Dag

class Lifted(Row):
    lifted: int = column("the number, lifted")

class Lift(Annotate[N, Lifted]):
    """Lifts."""
    def annotate(self, rows):
        return [Lifted(lifted=row.n + 1) for row in rows]

def lifting(count: int = 4) -> Dag:
    """Scale and lift numbers."""
    dag = Dag("lifting")
    rows = dag.read(Numbers(count=count)).annotate(Scale(factor=5), Lift())
    dag.save(rows.keep("scaled < 99 and lifted < 99", because="large"), "rows")
    return dag
'''


def clipmill(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    path = [*sys.path, str(TOYS)]
    code = f"import sys; sys.path[:0] = {path!r}; from pipeline.cli import main; sys.exit(main(sys.argv[1:]))"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=folder, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a recipe, a package of stages without __init__.py, and a store with one run."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "my_stages").mkdir()
    (folder / "my_stages" / "scale.py").write_text(STAGE)
    (folder / "lifting.py").write_text(RECIPE)
    done = clipmill(folder, "run", "lifting.py", "store=store", "--inline", "--quiet")
    assert (done.returncode, done.stderr) == (0, "")
    return folder


def recorded(project: Path) -> Path:
    return next((project / "store" / "runs").iterdir()) / "recipe.yaml"


def test_the_recorded_recipe_runs_from_another_folder_and_repeats_nothing(
    project: Path, tmp_path: Path
) -> None:
    recipe = recorded(project)
    assert yaml.safe_load(recipe.read_text())["code"] == {
        "lifting": str(project / "lifting.py"),
        "my_stages.scale": str(project / "my_stages" / "scale.py"),
        "toys": str(TOYS / "toys.py"),
    }
    done = clipmill(tmp_path, "run", str(recipe), f"store={project / 'store'}", "--inline", "--json")
    assert done.returncode == 0, done.stderr
    assert '"rows": {}' in done.stdout.splitlines()[-1]  # nothing was processed


def test_a_row_is_replayed_with_the_recorded_recipe(project: Path, tmp_path: Path) -> None:
    part = next((project / "store").glob("scale-*/part-000000.parquet"))
    row = pq.read_table(part)["id"][0].as_py()
    done = clipmill(tmp_path, "replay", "scale", "--row", row, f"store={project / 'store'}")
    assert (done.returncode, done.stderr) == (0, "")
    assert "equal to the stored result" in done.stdout


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("{lifting: lifting.py}", "lifting.py is not the file of the module lifting"),
        ("{lifting: /nowhere/other.py}", "/nowhere/other.py is not the file of the module lifting"),
        ("{lifting: /nowhere/lifting.py}", "the file of the module lifting does not exist"),
        ("[lifting]", "code"),
    ],
)
def test_a_wrong_file_of_stages_names_its_line(code: str, message: str) -> None:
    text = f"dag: x\ncode: {code}\nsteps:\n  lift: {{stage: lifting:Lift}}\n"
    with pytest.raises(RecipeError, match=message) as caught:
        from_yaml(text, "own.yaml")
    assert "own.yaml, line 2" in caught.value.where


def test_a_stage_outside_needs_its_file() -> None:
    with pytest.raises(RecipeError, match="outside") as caught:
        from_yaml("dag: x\nsteps:\n  lift: {stage: lifting:Lift}\n", "own.yaml")
    assert "code: {lifting: /path/to/lifting.py}" in caught.value.remedy
