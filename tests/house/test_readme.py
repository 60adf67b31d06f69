"""The README's code is run: the stage that it shows whole, and the DAG that it shows as YAML."""

import re
import sys
from importlib import util
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest

from manifests import Artifact
from pipeline.recipes.yaml_text import from_yaml

README = (Path(__file__).parents[2] / "README.md").read_text()


def _block(language: str, holding: str) -> str:
    return next(b for b in re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL) if holding in b)


@pytest.fixture
def shown(tmp_path: Path) -> ModuleType:
    """The stage of the README, imported from a file of its name."""
    (tmp_path / "measure_colour.py").write_text(_block("python", "class MeasureColour"))
    spec = util.spec_from_file_location("measure_colour", tmp_path / "measure_colour.py")
    assert spec is not None
    assert spec.loader is not None
    module = util.module_from_spec(spec)
    sys.modules["measure_colour"] = module  # a dataclass looks its own module up
    spec.loader.exec_module(module)
    return module


def test_the_stage_measures_colour(shown: ModuleType) -> None:
    found = []
    for saturation in (0, 80, 250):
        hsv = np.full((64, 64, 3), (0, saturation, 200), np.uint8)
        hsv[:, :, 0] = np.linspace(0, 179, 64).astype(np.uint8)
        picture = cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)
        jpeg = cv2.imencode(".jpg", picture)[1].tobytes()
        strip = Artifact.of(jpeg, ".jpegs")
        row = shown.Clip(strip=strip, strip_times_s=(0.0,), strip_offsets=(0,), start_s=0.0, end_s=1.0)
        found.append(next(iter(shown.MeasureColour().annotate([row]))).colourfulness)
    assert found[0] < 5 < found[1] < found[2]


def test_the_yaml_is_a_dag() -> None:
    dag = from_yaml(_block("yaml", "steps:"), "README.md")
    assert list(dag.outputs) == ["shots"]
    assert dag.nodes["too_short"].inputs == ("transition",)
