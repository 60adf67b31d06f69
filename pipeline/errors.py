"""Errors that planning and running raise.

ClipmillError
└── PipelineError
    ├── PlanError         the DAG is invalid; raised before anything runs
    ├── RecipeError       a recipe, a knob or YAML text is invalid
    ├── StageFailed       a stage failed, and the rows are not at fault
    ├── StageWaits        a service that a stage calls did not come back in time; all other work is done
    ├── StoreHeld         another run holds the lock of the store
    └── RowCountMismatch  a row entered a node and did not leave it
"""

from manifests.errors import ClipmillError


class PipelineError(ClipmillError):
    """Base of all errors raised by this package."""


class PlanError(PipelineError):
    """The DAG is invalid. Raised before anything runs."""

    exit_code = 2


class RecipeError(PipelineError):
    """A recipe, a knob or YAML text is invalid."""

    exit_code = 2


class StageFailed(PipelineError):
    """A stage failed, and the rows are not at fault."""


class StageWaits(PipelineError):
    """A service that a stage calls did not come back in time; all other work is done."""


class StoreHeld(PipelineError):
    """Another run holds the lock of the store."""


class RowCountMismatch(PipelineError):
    """A row entered a node and did not leave it as kept, dropped or rejected."""
