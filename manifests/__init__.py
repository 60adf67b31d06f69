"""The manifest format: typed rows in immutable Parquet tables that record how they were made."""

from manifests.artifact import Artifact as Artifact
from manifests.column import NonNegativeFloat as NonNegativeFloat
from manifests.column import NonNegativeInt as NonNegativeInt
from manifests.column import PositiveFloat as PositiveFloat
from manifests.column import PositiveInt as PositiveInt
from manifests.column import Range as Range
from manifests.column import Share as Share
from manifests.column import column as column
from manifests.errors import ClipmillError as ClipmillError
from manifests.errors import ManifestError as ManifestError
from manifests.row import Row as Row
from manifests.row import Vector as Vector
from manifests.row import make_row as make_row
from manifests.runs.clips import clips as clips
from manifests.store import Store as Store
