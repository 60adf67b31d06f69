"""The code of the READMEs runs: the complete stage, and the DAG in YAML."""

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

ROOT = Path(__file__).parents[2]
README = "".join((ROOT / name).read_text() for name in ("README.md", "pipeline/README.md"))


def _block(language: str, text: str) -> str:
    """The first code block of a language that contains a text."""
    return next(b for b in re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL) if text in b)


@pytest.fixture
def example_stage(tmp_path: Path) -> ModuleType:
    """The stage of the README, imported from a file with its name."""
    (tmp_path / "measure_color.py").write_text(_block("python", "class MeasureColor"))
    spec = util.spec_from_file_location("measure_color", tmp_path / "measure_color.py")
    assert spec is not None
    assert spec.loader is not None
    module = util.module_from_spec(spec)
    sys.modules["measure_color"] = module  # dataclasses look up their own module
    spec.loader.exec_module(module)
    return module


def test_the_stage_measures_color(example_stage: ModuleType) -> None:
    found = []
    for saturation in (0, 80, 250):
        hsv = np.full((64, 64, 3), (0, saturation, 200), np.uint8)
        hsv[:, :, 0] = np.linspace(0, 179, 64).astype(np.uint8)
        image = cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)
        jpeg = cv2.imencode(".jpg", image)[1].tobytes()
        strip = Artifact.of(jpeg, ".jpegs")
        row = example_stage.Clip(
            strip=strip, strip_times_s=(0.0,), strip_offsets=(0,), start_s=0.0, end_s=1.0
        )
        found.append(next(iter(example_stage.MeasureColor().annotate([row]))).colorfulness_mean)
    assert found[0] < 5 < found[1] < found[2]


def test_the_yaml_is_a_dag() -> None:
    dag = from_yaml(_block("yaml", "steps:"), "README.md")
    assert list(dag.outputs) == ["shots"]
    assert dag.nodes["too_short"].inputs == ("transition",)
