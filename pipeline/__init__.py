"""Pipelines: what a stage is, how stages form a DAG, and how the DAG is run.

The names below are looked up when they are first used, so that `clipmill --help` imports none of them.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.chunked import Chunked as Chunked
    from pipeline.dag import Dag as Dag
    from pipeline.dag import Keep as Keep
    from pipeline.dag import Rows as Rows
    from pipeline.needs import Needs as Needs
    from pipeline.stage import Annotate as Annotate
    from pipeline.stage import Compare as Compare
    from pipeline.stage import Expand as Expand
    from pipeline.stage import Launch as Launch
    from pipeline.stage import Placed as Placed
    from pipeline.stage import Reject as Reject
    from pipeline.stage import Source as Source
    from pipeline.stage import Stage as Stage
    from pipeline.stage import Survey as Survey
    from pipeline.stage import Unavailable as Unavailable

_STAGE = (
    "Annotate",
    "Compare",
    "Expand",
    "Launch",
    "Placed",
    "Reject",
    "Source",
    "Stage",
    "Survey",
    "Unavailable",
)
_HOME = dict.fromkeys(("Dag", "Keep", "Rows"), "pipeline.dag")
_HOME |= {"Needs": "pipeline.needs", "Chunked": "pipeline.chunked"}
_HOME |= dict.fromkeys(_STAGE, "pipeline.stage")


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'pipeline' has no {name!r}")
    return getattr(import_module(_HOME[name]), name)
