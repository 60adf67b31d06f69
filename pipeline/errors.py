"""Errors that planning and running raise.

ClipmillError
└── PipelineError
    ├── PlanError         the DAG is invalid; raised before anything runs
    ├── RecipeError       a recipe, a knob or YAML text is invalid
    ├── ClusterLost       the Ray on which the run works has ended; finished parts are kept
    ├── StageFailed       a stage failed, and the rows are not at fault
    ├── StageWaits        a service that a stage calls did not come back in time; all other work is done
    ├── StoreHeld         another run holds the lock of the store
    ├── TooManyErrors     more rows failed than the command allows; finished parts are kept
    └── RowCountMismatch  a row entered a node and did not leave it

Reject, Unavailable       what a stage returns or raises in the place of a row
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


class ClusterLost(PipelineError):
    """The Ray on which the run works has ended. Finished parts are kept."""


class StageFailed(PipelineError):
    """A stage failed, and the rows are not at fault."""


class StageWaits(PipelineError):
    """A service that a stage calls did not come back in time; all other work is done."""


class StoreHeld(PipelineError):
    """Another run holds the lock of the store."""


class TooManyErrors(PipelineError):
    """More rows failed, or were rejected, than the command allows. Finished parts are kept."""


class RowCountMismatch(PipelineError):
    """A row entered a node and did not leave it as kept, dropped or rejected."""


class Reject(Exception):
    """The row is invalid. The engine rejects it with this reason, continues, and never retries it."""


class Unavailable(Exception):
    """A service that the stage calls is not available, for example an endpoint that is down.

    The rows are not at fault, so the engine requeues them. The step pauses while other steps run, and
    finished rows of the part are kept. If no other step can run, the run ends unfinished, and the next run
    continues from there.

    Args:
        reason: Message for the user, shown during the run and written to its log.
        retry_s: Seconds until the step is tried again, with one task at first.
        patience_s: Seconds after the first failure for which a run waits if no other step can run.
    """

    def __init__(self, reason: str, *, retry_s: float = 30.0, patience_s: float = 600.0) -> None:
        super().__init__(reason)
        self.retry_s, self.patience_s = retry_s, patience_s
