"""What travels with a job: packages, recipe, own stages, included files; and what its description hides."""

import json
import os
import stat
import subprocess
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest

from pipeline.cli import main
from pipeline.executors.on_ray import jobs
from pipeline.verbs.cluster.job import JOB_FILE, Job, read_job
from pipeline.verbs.cluster.working_folder import fill_working_folder

RECIPE = '''"""Counts."""
from own.stages import Ones
from pipeline import Dag


def count(number: int = 3, footage: str = "", token: str = "") -> Dag:
    """Count.

    Args:
        number: How many.
        footage: A place.
        token: A secret.
    """
    import late

    dag = Dag("count")
    dag.save(dag.read(Ones(count=number + late.MORE)), "ones")
    return dag
'''
STAGES = '''"""Own stages."""
from collections.abc import Iterator

from manifests import Row, column
from manifests.identity import id_of
from own import numbers
from pipeline import Source


class One(Row):
    id: str = column("made from the number")
    n: int = column("the number")


class Ones(Source[One]):
    count: int = 1

    def rows(self) -> Iterator[One]:
        for n in range(self.count):
            yield One(id=id_of(n), n=numbers.ONE)
'''


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A recipe with its own package and module, beside files that it does not need."""
    folder = tmp_path / "mine"
    (folder / "own").mkdir(parents=True)
    (folder / "own/__init__.py").write_text('"""Own package."""\n')
    (folder / "own/stages.py").write_text(STAGES)
    (folder / "own/numbers.py").write_text("ONE = 1\n")
    (folder / "late.py").write_text("MORE = 0\n")
    (folder / "unrelated.py").write_text("x = 1\n")
    (folder / "film.mp4").write_bytes(b"film")
    (folder / "count.py").write_text(RECIPE)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", [*sys.path])
    for name in [name for name in sys.modules if name in ("count", "late") or name.split(".")[0] == "own"]:
        monkeypatch.delitem(sys.modules, name)
    return folder / "count.py"


@pytest.fixture
def submitted(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Jobs that would reach a cluster: what `Jobs` is called with, and the description in the folder."""
    calls: list[Any] = []

    class Recorded:
        """Keeps what it is asked to submit."""

        address = "http://head:8265"

        def __init__(self, address: str | None) -> None:
            pass

        def submit(self, job: str, folder: Path, metadata: Any, *, has_environment: bool) -> None:
            mode = stat.S_IMODE((folder / JOB_FILE).stat().st_mode)
            names = {path.relative_to(folder).as_posix() for path in folder.rglob("*")}
            shown = json.dumps([job, metadata])
            calls.append(Namespace(job=read_job(folder), shown=shown, mode=mode, names=names))

    monkeypatch.setattr(jobs, "Jobs", Recorded)
    return calls


def own_files(folder: Path) -> set[str]:
    packages = ("manifests", "pipeline", "stages", "training")
    files = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return {file.as_posix() for file in files if file.parts[0] not in packages}


def test_the_modules_that_a_recipe_imports_travel_and_nothing_else(recipe: Path, tmp_path: Path) -> None:
    folder = tmp_path / "job"
    assert fill_working_folder(folder, "count.py", []) == ("count.py", {})
    assert own_files(folder) == {"count.py", "late.py", "own/__init__.py", "own/stages.py", "own/numbers.py"}
    assert (folder / "stages/recipes/curate.py").is_file()
    assert not list(folder.rglob("__pycache__"))


def test_a_recipe_of_the_library_needs_no_further_files(tmp_path: Path) -> None:
    path = Path(__file__).parents[4] / "stages/recipes/curate.py"
    assert fill_working_folder(tmp_path / "job", str(path), [])[0] == "stages/recipes/curate.py"
    assert own_files(tmp_path / "job") == set()


def test_a_yaml_recipe_finds_its_own_stages_where_the_job_runs(recipe: Path, tmp_path: Path) -> None:
    yaml = tmp_path / "edited.yaml"
    command = [sys.executable, "-m", "pipeline.cli"]
    places = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[4])}
    text = subprocess.check_output([*command, "yaml", "count.py"], env=places, text=True)
    yaml.write_text(text)
    folder = tmp_path / "job"
    found, code = fill_working_folder(folder, str(yaml), [])
    assert (found, code) == ("edited.yaml", {"own.stages": "own/stages.py"})
    assert {"own/stages.py", "own/numbers.py"} <= own_files(folder)
    assert not (tmp_path / "own").exists()
    Job(found, [], [], code=code).write(folder)
    place = "from pathlib import Path; from pipeline.submitted.__main__ import recipe_with_code, read_job; "
    place += f"print(recipe_with_code(read_job(Path()), Path({str(tmp_path / 'job')!r})))"
    copy = subprocess.check_output([sys.executable, "-c", place], cwd=folder, text=True).strip()
    (recipe.parent / "own/stages.py").unlink()  # the laptop is closed
    graph = subprocess.check_output([*command, "graph", copy], cwd=folder, text=True)
    assert "ones" in graph


def test_the_dashboard_shows_no_knob_and_no_variable(
    recipe: Path, submitted: list[Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SECRET", "hidden value")
    options = ["token=hush", "store=s3://me:pass@bucket/s", "--env", "SECRET", "--strict", "--workers", "3"]
    assert main(["submit", "count.py", "number=4", *options, "--address", "http://head:8265"]) == 0
    (call,) = submitted
    assert "hidden" not in call.shown + jobs.ENTRY_POINT
    assert "hush" not in call.shown
    assert "pass" not in call.shown + capsys.readouterr().out
    assert call.mode == 0o600
    assert call.job.environment == {"SECRET": "hidden value"}
    assert call.job.arguments == [
        *("number=4", "token=hush", "store=s3://me:pass@bucket/s"),
        *("--strict", "--workers", "3"),
    ]
    assert "token=***" in call.job.command
    assert not [word for word in call.job.command if "pass" in word]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["store=here"], "the store here is a folder of this machine"),
        (["store=file:///here"], "is a folder of this machine"),
        (["store=s3://b/s", "footage=s3://b/films,film.mp4"], "knob footage: film.mp4 is on this machine"),
        (["store=s3://b/s", "footage=file:///"], "knob footage: file:/// is on this machine"),
        (["store=s3://b/s", "max_error_share=2"], "max_error_share: 2 is out of range"),
        (["store=s3://b/s", "--env", "NOT_SET_ANYWHERE"], "NOT_SET_ANYWHERE is not set"),
        (["store=s3://b/s", "--include", "absent.csv"], "a file to include does not exist"),
        (["store=s3://b/s", "ray_address=head:6379"], "ray_address is an option of clipmill run"),
        (["store=s3://b/s", "numbr=3"], "did you mean 'number'?"),
    ],
)
def test_what_cannot_run_on_the_cluster_is_refused_here(
    words: list[str], message: str, recipe: Path, submitted: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["submit", "count.py", *words]) == 2
    assert message in capsys.readouterr().err
    assert submitted == []


def test_included_files_travel_and_shared_folders_become_absolute(recipe: Path, submitted: list[Any]) -> None:
    words = ["footage=film.mp4,s3://b/more", "store=s3://b/s"]
    assert main(["submit", "count.py", *words, "--include", "film.mp4"]) == 0
    assert main(["submit", "count.py", "footage=film.mp4", "store=out", "--shared-folders"]) == 0
    here = os.getcwd()
    assert main(["submit", "count.py", f"store=file://{here}/out", "--shared-folders"]) == 0
    travelling, shared, at_url = submitted
    assert at_url.job.arguments == [f"store={here}/out"]
    assert travelling.job.arguments[0] == "footage=film.mp4,s3://b/more"
    assert "film.mp4" in travelling.names
    assert "film.mp4" not in shared.names
    assert shared.job.arguments == [f"footage={here}/film.mp4", f"store={here}/out"]


def test_an_address_without_a_dashboard_is_an_error_with_a_remedy(
    recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["submit", "count.py", "store=s3://b/s", "--address", "http://127.0.0.1:9"]) == 1
    assert "remedy: check the address: it is that of the dashboard" in capsys.readouterr().err
