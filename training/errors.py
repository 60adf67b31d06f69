"""Errors of training that are shown to the user.

ClipmillError
└── TrainingError
    ├── SettingError          a setting has a value that is not allowed
    ├── LatentMismatchError   shards do not match each other, or the model, in how the latents were made
    ├── LayoutError           ranks, batch or tokens cannot be divided as requested
    ├── LostRankError         another rank ended, or does not answer
    ├── DivergenceError       a loss or a gradient is not finite
    └── CheckpointError       a checkpoint or a model file is incomplete, or of another kind
"""

from manifests import ClipmillError


class TrainingError(ClipmillError):
    """Base of every error raised by this package."""


class SettingError(TrainingError):
    """A setting has a value that is not allowed."""

    exit_code = 2


class LatentMismatchError(TrainingError):
    """Shards do not match each other, or the model, in how the latents were made."""


class LayoutError(TrainingError):
    """Ranks, batch or tokens cannot be divided as requested."""

    exit_code = 2


class StoppedError(TrainingError):
    """A training was asked to stop before its last step; it can be resumed."""

    exit_code = 75  # EX_TEMPFAIL of sysexits.h


class LostRankError(TrainingError):
    """Another rank of the training ended, or cannot be reached."""


class DivergenceError(TrainingError):
    """A loss or a gradient is not finite."""


class CheckpointError(TrainingError):
    """A checkpoint or a model file is incomplete, or of another kind."""
