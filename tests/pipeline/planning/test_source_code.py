"""The digest of the code of a stage: what changes it, and what does not."""

import importlib
import sys
from pathlib import Path

import pytest

from pipeline.planning.source_code import code_digest

STAGE = '''
"""Measures."""
from measure_helper import scale
import measure_other
from manifests import Row, column
from pipeline import Annotate, Needs

FACTOR = 2
UNUSED = 3

class N(Row):
    n: int

class Scaled(Row):
    scaled: int = column("the number, scaled")

def unused():
    return 1

class Measure(Annotate[N, Scaled]):
    """Scales."""
    offset: int = 1
    version = 1
    needs = Needs(batch=2)
    def annotate(self, rows):
        for row in rows:
            yield Scaled(scaled=scale(row.n) * FACTOR + self.offset)
'''
HELPER = """
def scale(n):
    from measure_inner import ten
    return n * ten
def other():
    return 2
"""
CHANGES = {
    "nothing": ("", "", False),
    "a comment": ("FACTOR = 2", "# doubles\nFACTOR = 2", False),
    "formatting": ("scale(row.n) * FACTOR", "(scale( row.n )*FACTOR)", False),
    "a docstring": ('"""Scales."""', '"""Scales numbers."""', False),
    "the meaning of a column": ("the number, scaled", "the scaled number", False),
    "the version": ("version = 1", "version = 2", False),
    "the resources": ("batch=2", "batch=4", False),
    "the default of a setting": ("offset: int = 1", "offset: int = 2", False),
    "an unused function": ("return 1", "return 2", False),
    "an unused constant": ("UNUSED = 3", "UNUSED = 4", False),
    "an unused function of another file": ("return 2", "return 3", False),
    "the method": ("+ self.offset", "- self.offset", True),
    "a constant": ("FACTOR = 2", "FACTOR = 3", True),
    "a function of another file": ("return n * ten", "return n + ten", True),
    "a file that a function imports": ("ten = 10", "ten = 11", True),
}


@pytest.fixture
def digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """digest(old, new) -> the digest of the stage, with `old` replaced by `new` in all files."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    texts = {
        "measure_it": STAGE,
        "measure_helper": HELPER,
        "measure_inner": "ten = 10\n",
        "measure_other": "",
    }

    def make(old: str = "", new: str = "") -> str:
        for name, text in texts.items():
            (tmp_path / f"{name}.py").write_text(text.replace(old, new) if old else text)
            sys.modules.pop(name, None)
        importlib.invalidate_caches()
        try:
            return code_digest(importlib.import_module("measure_it").Measure)
        finally:
            for name in texts:
                sys.modules.pop(name, None)

    return make


@pytest.mark.parametrize("change", CHANGES)
def test_only_code_that_the_stage_uses_changes_its_digest(digest, change: str) -> None:  # type: ignore[no-untyped-def]
    old, new, changes = CHANGES[change]
    before, after = digest(), digest(old, new)
    assert len(before) == 64
    assert (before != after) is changes


def test_a_stage_without_source_has_no_digest() -> None:
    space: dict[str, object] = {"__name__": "nowhere"}
    exec(STAGE.replace("from measure_helper import scale\nimport measure_other", "scale = abs"), space)
    assert code_digest(space["Measure"]) == ""  # type: ignore[arg-type]


def test_stages_of_clipmill_have_digests_without_importing_more() -> None:
    from stages.quality.measure_light import MeasureLight
    from stages.shots.score_boundaries import ScoreBoundaries

    before = {*sys.modules}
    assert [len(code_digest(stage)) for stage in (MeasureLight, ScoreBoundaries)] == [64, 64]
    assert {*sys.modules} == before
