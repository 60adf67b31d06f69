"""A stage whose code changed under the same version is noticed, and neither silent nor an error."""

import importlib
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.cli import main

RECIPE = '''
"""Numbers, scaled."""
from toys import N, Numbers
from manifests import Row, column
from pipeline import Annotate, Dag

class Scaled(Row):
    scaled: int = column("the number, scaled")

class Scale(Annotate[N, Scaled]):
    """Scales."""
    version = 3
    def annotate(self, rows):
        return [Scaled(scaled=row.n * 2) for row in rows]

def scaling(count: int = 4) -> Dag:
    """Scale numbers."""
    dag = Dag("scaling")
    dag.save(dag.read(Numbers(count=count)).annotate(Scale()), "rows")
    return dag
'''
LINE = (
    "warning: the code of Scale changed since results of scale were made, and its version is still 3: "
    "raise the version to compute them again, or run with --accept-code to use them"
)
WARNING = "\n".join(textwrap.wrap(LINE, 119, subsequent_indent="  "))  # as it is printed


@pytest.fixture
def recipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[str, str]]:
    """recipe(verb, *options, **edits) -> stdout and stderr of `clipmill verb` on the edited recipe."""
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    file = tmp_path / "scaling.py"

    def call(verb: str, *options: str, old: str = "", new: str = "") -> tuple[str, str]:
        file.write_text(RECIPE.replace(old, new) if old else RECIPE)
        importlib.invalidate_caches()
        inline = ["--inline", "--quiet"] if verb == "run" else []
        assert main([verb, str(file), f"store={tmp_path / 's'}", *inline, *options]) == 0
        return capsys.readouterr()

    return call


def test_plan_and_run_name_a_changed_stage_until_it_is_accepted(
    recipe: Callable[..., tuple[str, str]], tmp_path: Path
) -> None:
    changed = {"old": "row.n * 2", "new": "row.n * 3"}
    assert recipe("run") == ("", "")
    assert "warning" not in recipe("plan", old='"""Scales."""', new='"""Scales a number."""')[0]
    assert WARNING in recipe("plan", **changed)[0]
    assert recipe("run", **changed)[1] == f"{WARNING}\n"
    assert (max((tmp_path / "s" / "runs").iterdir()) / "log.txt").read_text().count(LINE) == 1
    assert WARNING in recipe("plan", "count=5", **changed)[0]  # rows would be copied from the old table
    assert recipe("run", "count=5", **changed)[1] == f"{WARNING}\n"
    assert recipe("run", "count=5", **changed)[1] == f"{WARNING}\n"
    assert recipe("run", "--accept-code", **changed)[1] == ""
    assert recipe("run", **changed)[1] == ""
    assert recipe("run", "count=5", **changed)[1] == ""
    assert WARNING in recipe("plan", old="row.n * 2", new="row.n * 4")[0]
    assert main(["manifest", "check", str(tmp_path / "s")]) == 0


def test_a_raised_version_computes_again_without_a_warning(recipe: Callable[..., tuple[str, str]]) -> None:
    recipe("run")
    assert recipe("run", old="version = 3", new="version = 4\n    factor = 3") == ("", "")
