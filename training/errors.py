"""Errors of training that are meant for a user's eyes.

ClipmillError
└── TrainingError
    ├── LatentsDoNotFit   shards disagree with each other, or with the model, about how latents were made
    ├── LayoutError       the ranks, the batch or the tokens cannot be shared as asked
    ├── Diverged          a loss or a gradient is not finite
    └── BadCheckpoint     a checkpoint or a model file is not whole, or is of something else
"""

from manifests import ClipmillError


class TrainingError(ClipmillError):
    """Base of every error raised by this package."""


class LatentsDoNotFit(TrainingError):
    """Shards disagree with each other, or with the model, about how latents were made."""


class LayoutError(TrainingError):
    """The ranks, the batch or the tokens cannot be shared as asked."""


class Diverged(TrainingError):
    """A loss or a gradient is not finite."""


class BadCheckpoint(TrainingError):
    """A checkpoint or a model file is not whole, or is of something else."""
