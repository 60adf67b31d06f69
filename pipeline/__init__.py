"""Pipelines: the stage contracts, the DAG that connects stages, and the code that runs it.

The public names below are imported on first use, so that `clipmill --help` imports none of them.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.chunked import Chunked as Chunked
    from pipeline.dag import Dag as Dag
    from pipeline.dag import Rows as Rows
    from pipeline.grouped import AnnotateGroups as AnnotateGroups
    from pipeline.needs import Needs as Needs
    from pipeline.rule import Keep as Keep
    from pipeline.stage import Annotate as Annotate
    from pipeline.stage import Compare as Compare
    from pipeline.stage import ConfiguredStage as ConfiguredStage
    from pipeline.stage import Expand as Expand
    from pipeline.stage import Launch as Launch
    from pipeline.stage import Reject as Reject
    from pipeline.stage import Source as Source
    from pipeline.stage import Stage as Stage
    from pipeline.stage import Survey as Survey
    from pipeline.stage import Unavailable as Unavailable

_STAGE_NAMES = (
    "Annotate",
    "Compare",
    "Expand",
    "Launch",
    "ConfiguredStage",
    "Reject",
    "Source",
    "Stage",
    "Survey",
    "Unavailable",
)
_MODULE_OF = dict.fromkeys(("Dag", "Rows"), "pipeline.dag")
_MODULE_OF |= {"Needs": "pipeline.needs", "Chunked": "pipeline.chunked", "Keep": "pipeline.rule"}
_MODULE_OF |= {"AnnotateGroups": "pipeline.grouped"}
_MODULE_OF |= dict.fromkeys(_STAGE_NAMES, "pipeline.stage")


def __getattr__(name: str) -> object:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'pipeline' has no {name!r}")
    return getattr(import_module(_MODULE_OF[name]), name)
