"""Errors of planning and running.

ClipmillError
└── PipelineError
    ├── PlanError      the DAG cannot work as written; raised before anything runs
    ├── RecipeError    a recipe, a knob or a YAML text is wrong
    ├── StageFailed    a stage broke on rows that are not at fault
    ├── StageWaits     what a stage asks did not come back in time; all else is done
    ├── StoreHeld      another run holds the store
    └── RowCountMismatch  a row entered a node and did not leave it
"""

from manifests.errors import ClipmillError


class PipelineError(ClipmillError):
    """Base of every error raised by this package."""


class PlanError(PipelineError):
    """The DAG cannot work as written; raised before anything runs."""


class RecipeError(PipelineError):
    """A recipe, a knob or a YAML text is wrong."""


class StageFailed(PipelineError):
    """A stage broke on rows that are not at fault."""


class StageWaits(PipelineError):
    """What a stage asks, such as an endpoint, did not come back in time; all else is done."""


class StoreHeld(PipelineError):
    """Another run holds the store."""


class RowCountMismatch(PipelineError):
    """A row entered a node and did not leave it as kept, dropped or rejected."""
